// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

func TestPluginTakesOverAndRollsBack(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := s.APIService()

	s.ExpectPlugin(0, []string{"takeover", "--dry-run"}, "would point v1.batch to batchgate-system/batchgate-apiserver", "kubectl batchgate rollback")
	if after := s.APIService(); after != before {
		t.Fatalf("a dry run changed the APIService from\n%s\nto\n%s", before, after)
	}
	s.ExpectPlugin(0, []string{"status"}, "served by kube-apiserver", "True (Local)", "all ready")
	s.ExpectPlugin(0, []string{"takeover"},
		"the same", "certificate valid until", "v1.batch points to batchgate-system/batchgate-apiserver", "to undo it: kubectl batchgate rollback", "objects through kube-apiserver")
	s.ExpectPlugin(0, []string{"takeover"}, "v1.batch is served by batchgate-system/batchgate-apiserver already")
	s.ExpectError([]string{"annotate", "job", "pi", "a=b"}, "may not be updated")
	s.ExpectPlugin(2, []string{"takeover", "--service-port=1"}, "set --service-port=")
	s.ExpectPlugin(0, []string{"status"}, "served by batchgate-system/batchgate-apiserver", "True (Passed)", ", ready", "expires at")
	var status struct {
		APIService struct{ Available string }
		Batchgate  struct{ Ready bool }
		Policies   int
	}
	if err := json.Unmarshal([]byte(s.ExpectPlugin(0, []string{"status", "--output=json"})), &status); err != nil {
		t.Fatal(err)
	}
	if status.APIService.Available != "True" || !status.Batchgate.Ready || status.Policies < 2 {
		t.Errorf("status is %+v", status)
	}

	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	s.ExpectPlugin(1, []string{"status"}, "not reachable", "Batchgate is not ready, or could not be reached")
	s.ExpectPlugin(0, []string{"rollback"}, "v1.batch points to kube-apiserver", "jobs through kube-apiserver", "no longer asks Batchgate")
	s.Run("annotate", "job", "pi", "a=b")
	s.WithoutDiscoveryCache().Run("get", "job", "pi")
	s.ExpectPlugin(0, []string{"rollback"}, "served by kube-apiserver already")
	if after := s.APIService(); after != before {
		t.Errorf("after rollback, the APIService is\n%s\nwant\n%s", after, before)
	}
	s.ExpectPlugin(0, []string{"status"}, "not reachable")
}

// The plugin checks all preconditions before it changes anything.
func TestPluginTakeoverPreconditions(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := s.APIService()
	other, err := pki.LoadOrCreate(filepath.Join(t.TempDir(), "ca.crt"), filepath.Join(t.TempDir(), "ca.key"), "other")
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "other.crt")
	if err := os.WriteFile(ca, other.CertPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args  []string
		texts []string
	}{
		"wrong CA":                  {[]string{"takeover", "--ca-file=" + ca}, []string{"certificate signed by unknown authority", "nothing was changed"}},
		"file without CA":           {[]string{"takeover", "--ca-file=/dev/null"}, []string{"has no certificate in PEM"}},
		"missing CA file":           {[]string{"takeover", "--ca-file=/nowhere"}, []string{"reading --ca-file"}},
		"unknown Service":           {[]string{"takeover", "--service=other"}, []string{"set it with --ca-file"}},
		"unknown output format":     {[]string{"takeover", "--output=xml"}, []string{"must be json or yaml"}},
		"wrong CA with JSON output": {[]string{"takeover", "--ca-file=" + ca, "--output=json"}, []string{`"error": "`}},
	} {
		t.Run(name, func(t *testing.T) {
			s.WithT(t).ExpectPlugin(2, tc.args, tc.texts...)
		})
	}
	reader := s.As("reader-" + s.Namespace)
	reader.ExpectPlugin(2, []string{"takeover", "--ca-file=" + ca}, "get apiservices, patch apiservices, delete apiservices", "nothing was changed")
	if err := cluster.Batchgate.Stop(); err != nil {
		t.Fatal(err)
	}
	s.ExpectPlugin(2, []string{"takeover"}, "connecting to Batchgate at", "connection refused", "nothing was changed")
	if after := s.APIService(); after != before {
		t.Errorf("after the failed takeover, the APIService is\n%s\nwant\n%s", after, before)
	}
}

// The plugin cannot check the Service's port before takeover, because only kube-apiserver uses it.
func TestPluginRollsBackFailedTakeover(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := s.APIService()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, cluster.DirectConfig().CAData, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ExpectPlugin(3, []string{"takeover", "--ca-file=" + ca, "--service-port=1", "--timeout=10s"},
		"is not available", "v1.batch points to kube-apiserver", "the takeover was rolled back")
	if after := s.APIService(); after != before {
		t.Errorf("after rollback, the APIService is\n%s\nwant\n%s", after, before)
	}
	s.Run("annotate", "job", "pi", "a=b", "--overwrite")
}

func TestPluginRecreatesAPIService(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := s.APIService()
	s.Run("delete", "apiservice", "v1.batch")
	s.ExpectPlugin(1, []string{"status"}, "kubectl batchgate rollback recreates it")
	s.ExpectPlugin(0, []string{"rollback"}, "v1.batch was missing and is recreated for kube-apiserver")
	if after := s.APIService(); after != before {
		t.Errorf("after rollback, the APIService is\n%s\nwant\n%s", after, before)
	}
	groups, err := cluster.Client.Discovery().ServerGroups()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(groups.Groups, func(group metav1.APIGroup) bool { return group.Name == batchv1.GroupName }) {
		t.Errorf("API group batch is missing in %v", groups.Groups)
	}
	if _, err := cluster.Client.BatchV1().Jobs(s.Namespace).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}
