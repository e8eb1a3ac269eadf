// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
)

// Flags returns the flags, grouped for the help text.
func (o *Options) Flags() flag.NamedFlagSets {
	var fss flag.NamedFlagSets
	fs := fss.FlagSet("batchgate")
	fs.BoolVar(&o.ServeSelfLink, "serve-self-link", o.ServeSelfLink, "Set metadata.selfLink in responses that contain a single Job.")
	fs.BoolVar(&o.AllowPrivileged, "allow-privileged", o.AllowPrivileged, "If true, allow privileged containers in Jobs and CronJobs; use the value of kube-apiserver's --allow-privileged.")
	fs.BoolVar(&o.RecordEvents, "record-events", o.RecordEvents, "Record an Event on the Job for each denied update, with the user and the denied fields; dry runs are left out. Similar Events are combined, and the number of Events is limited. The server needs the permission to create and patch Events.")
	fs.DurationVar(&o.UnreachableTimeout, "kube-apiserver-unreachable-timeout", o.UnreachableTimeout, "How long kube-apiserver may be unreachable before the server becomes not ready, or 0 to stay ready; set it only if kube-apiserver starts without v1.batch.")
	fs.BoolVar(&o.AllowUnsupportedVersionSkew, "allow-unsupported-version-skew", o.AllowUnsupportedVersionSkew, "If true, serve writes of Jobs and CronJobs although kube-apiserver emulates a version that is more than one minor version newer than --emulated-version; they drop the fields that this server does not know. If false, respond with 503.")
	fs.StringVar(&o.EmbeddedEtcd.Directory, "embedded-etcd-directory", o.EmbeddedEtcd.Directory, "Data directory of a single-member etcd to run in this process instead of connecting to --etcd-servers.")

	o.ServerRun.AddUniversalFlags(fss.FlagSet("generic"))
	o.Etcd.AddFlags(fss.FlagSet("etcd"))
	o.SecureServing.AddFlags(fss.FlagSet("secure serving"))
	o.CoreAPI.AddFlags(fss.FlagSet("cluster"))
	o.Authentication.AddFlags(fss.FlagSet("authentication"))
	o.Authorization.AddFlags(fss.FlagSet("authorization"))
	fss.FlagSet("authorization").BoolVar(&o.AuthorizeFrontProxy, "authorize-front-proxy", o.AuthorizeFrontProxy, "If true, also send a SubjectAccessReview for proxied requests, which kube-apiserver has already authorized.")
	o.Admission.AddFlags(fss.FlagSet("admission"))
	o.Audit.AddFlags(fss.FlagSet("auditing"))
	o.Features.AddFlags(fss.FlagSet("features"))
	o.Traces.AddFlags(fss.FlagSet("traces"))
	o.Metrics.AddFlags(fss.FlagSet("metrics"))
	logsapi.AddFlags(o.Logs, fss.FlagSet("logs"))
	return fss
}
