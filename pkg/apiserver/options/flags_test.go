// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

// requiredArgs satisfy Validate.
var requiredArgs = []string{"--etcd-servers=http://192.0.2.1:2379", "--tls-cert-file=a.crt", "--tls-private-key-file=a.key"}

// parse returns the options of a command line.
func parse(t *testing.T, args ...string) *Options {
	t.Helper()
	o := New()
	all := pflag.NewFlagSet("test", pflag.ContinueOnError)
	for _, fs := range o.Flags().FlagSets {
		all.AddFlagSet(fs)
	}
	if err := all.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOptions_Flags(t *testing.T) {
	fss := New().Flags()
	for group, flags := range map[string][]string{
		"batchgate":      {"serve-self-link", "allow-privileged", "record-events", "embedded-etcd-directory"},
		"generic":        {"feature-gates", "emulated-version", "shutdown-delay-duration", "max-requests-inflight"},
		"etcd":           {"etcd-servers", "etcd-prefix", "etcd-cafile", "etcd-certfile", "etcd-keyfile"},
		"secure serving": {"secure-port", "bind-address", "tls-cert-file", "tls-private-key-file"},
		"cluster":        {"kubeconfig"},
		"authentication": {"authentication-kubeconfig", "client-ca-file", "requestheader-client-ca-file"},
		"authorization":  {"authorization-kubeconfig"},
		"admission":      {"enable-admission-plugins", "disable-admission-plugins"},
		"auditing":       {"audit-policy-file", "audit-log-path", "audit-webhook-config-file"},
		"features":       {"profiling", "enable-priority-and-fairness"},
		"traces":         {"tracing-config-file"},
		"metrics":        {"show-hidden-metrics-for-version"},
		"logs":           {"v", "logging-format"},
	} {
		if !slices.Contains(fss.Order, group) {
			t.Errorf("group %q is missing", group)
			continue
		}
		for _, name := range flags {
			if fss.FlagSets[group].Lookup(name) == nil {
				t.Errorf("group %q has no flag --%s", group, name)
			}
		}
	}
	if fss.Order[0] != "batchgate" {
		t.Errorf("the first group is %q, want batchgate", fss.Order[0])
	}
}
