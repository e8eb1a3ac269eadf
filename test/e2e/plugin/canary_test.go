// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// encryption encrypts Jobs and CronJobs, and also reads those that are not encrypted.
const encryption = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [jobs.batch, cronjobs.batch]
  providers:
  - aescbc: {keys: [{name: key, secret: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}]}
  - identity: {}
`

// A takeover must not succeed if kube-apiserver could not read what Batchgate stores, or the reverse.
func TestPluginTakeoverChecksStorage(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	t.Cleanup(func() {
		if err := cluster.RestartBatchgate(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
	before := s.APIService()
	file := filepath.Join(t.TempDir(), "encryption.yaml")
	if err := os.WriteFile(file, []byte(encryption), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		arg, text string
	}{
		"other etcd prefix":       {"--etcd-prefix=/other", "Batchgate does not find Job default/batchgate-canary-"},
		"only Batchgate encrypts": {"--encryption-provider-config=" + file, "kube-apiserver cannot read Job default/batchgate-canary-"},
		"the same storage":        {"--etcd-prefix=/registry", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.WithT(t)
			if err := cluster.RestartBatchgate(t.Context(), tc.arg); err != nil {
				t.Fatal(err)
			}
			if tc.text == "" {
				s.ExpectPlugin(0, []string{"takeover", "--dry-run"}, "a Job and a CronJob in default were written and read through both servers")
			} else {
				s.ExpectPlugin(2, []string{"takeover"}, tc.text, "nothing was changed")
			}
			if after := s.APIService(); after != before {
				t.Errorf("after the checks, the APIService is\n%s\nwant\n%s", after, before)
			}
			if left := s.Run("get", "jobs,cronjobs", "--namespace=default", "--selector=batchgate.io/canary", "--output=name"); strings.TrimSpace(left) != "" {
				t.Errorf("the checks left %s", left)
			}
		})
	}
}
