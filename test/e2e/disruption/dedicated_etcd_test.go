// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

// dedicatedEtcd is a scenario with Batchgate as in artifacts/overlays/dedicated-etcd.
type dedicatedEtcd struct {
	*scenario

	files *framework.DedicatedEtcd
	// dedicated is Batchgate's etcd, shared is the cluster's.
	dedicated, shared *clientv3.Client
}

// startDedicatedEtcd starts a control plane and installs Batchgate, but takes nothing over and
// imports nothing. The Job "held" runs until release.
func startDedicatedEtcd(t *testing.T) *dedicatedEtcd {
	t.Helper()
	s := start(t, framework.ClusterOptions{APIServers: 2})
	files, err := s.InstallDedicatedEtcd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	suspended := framework.NewJob("suspended")
	suspended.Spec.Suspend = ptr.To(true)
	s.jobs().Create(suspended)
	cron := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "yearly"},
		Spec:       batchv1.CronJobSpec{Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: framework.NewJob("").Spec}},
	}
	if _, err := s.Client.BatchV1().CronJobs(s.namespace).Create(t.Context(), cron, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.createHeld("held", 2, 3)
	s.runJob("finished")
	return &dedicatedEtcd{scenario: s, files: files, dedicated: openDedicatedEtcd(t, files), shared: s.clusterEtcd()}
}

func openDedicatedEtcd(t *testing.T, files *framework.DedicatedEtcd) *clientv3.Client {
	t.Helper()
	return openEtcd(t, &transport.TLSInfo{TrustedCAFile: files.CAFile, CertFile: files.CertFile, KeyFile: files.KeyFile}, files.Endpoints...)
}

// etcdArgs returns the flags for the plugin to connect to the dedicated etcd.
func (s *dedicatedEtcd) etcdArgs() []string {
	return []string{
		"--etcd-servers=" + strings.Join(s.files.Endpoints, ","),
		"--etcd-cafile=" + s.files.CAFile, "--etcd-certfile=" + s.files.CertFile, "--etcd-keyfile=" + s.files.KeyFile,
	}
}

// importArgs returns the plugin's arguments for an import to the dedicated etcd.
func (s *dedicatedEtcd) importArgs(args ...string) []string {
	return slices.Concat([]string{"import"}, s.etcdArgs(), args)
}

// checkFrozen returns an error unless the freeze exists if want is true, or is missing if want is
// false.
func (s *scenario) checkFrozen(want bool) error {
	_, err := s.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(s.t.Context(), "batchgate-freeze", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if got := err == nil; got != want {
		return fmt.Errorf("the freeze exists: %t, want %t", got, want)
	}
	return nil
}

func (s *scenario) awaitFrozen(want bool) {
	s.t.Helper()
	s.eventually("create or delete the freeze", func() error { return s.checkFrozen(want) })
}
