// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/version"
)

func TestLoggingFormatJSON(t *testing.T) {
	t.Parallel()
	p := startStandaloneProcess(t, filepath.Join(t.TempDir(), "data"), "--logging-format=json")
	p.admin.create(t, "default", newJob(t))
	if code := p.terminate(t); code != 0 {
		t.Errorf("server exited with code %d", code)
	}
	lines := 0
	for line := range strings.Lines(p.stderr.String()) {
		var entry struct {
			TS  any     `json:"ts"` // etcd writes a date
			Msg *string `json:"msg"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.TS == nil || entry.Msg == nil {
			t.Errorf("log line is not a JSON entry: %s", line)
		}
		lines++
	}
	if lines == 0 || !strings.Contains(p.stderr.String(), `"msg":"Starting batchgate-apiserver"`) {
		t.Errorf("log has %d lines, or no message that the server starts:\n%s", lines, p.stderr)
	}
}

// gangJob is a Job with spec.scheduling, which upstream has behind feature gates.
const gangJob = `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"pi"},"spec":{"parallelism":2,"completions":2,"completionMode":"Indexed",
	"scheduling":{"schedulingPolicy":{"gang":{"minCount":2}}},
	"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"perl"}]}}}}`

func TestEmulatedVersionAndFeatureGates(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		args                    []string
		emulationMinor, enabled string
		kept                    bool // spec.scheduling; dropped if the feature is disabled
	}{
		"default version and features": {nil, "37", "0", false},
		"version 1.36 with WorkloadWithJob": {
			[]string{"--emulated-version=1.36", "--feature-gates=GenericWorkload=true,WorkloadWithJob=true"}, "36", "1", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startClusterProcess(t, row.args...)
			var info version.Info
			p.admin.get(t, "/version").decode(t, &info)
			if info.EmulationMajor != "1" || info.EmulationMinor != row.emulationMinor {
				t.Errorf("emulated version is %s.%s, want 1.%s", info.EmulationMajor, info.EmulationMinor, row.emulationMinor)
			}
			metric := `kubernetes_feature_enabled{name="WorkloadWithJob",stage="ALPHA"} ` + row.enabled
			if !strings.Contains(string(p.admin.get(t, "/metrics").body), metric) {
				t.Errorf("metric is missing: %s", metric)
			}
			p.admin.do(t, request{method: http.MethodPost, path: jobsPath("default"), body: []byte(gangJob)}).expect(t, http.StatusCreated)
			path := jobPath("default", "pi")
			if kept := p.admin.get(t, path).job(t).Spec.Scheduling != nil; kept != row.kept {
				t.Errorf("spec.scheduling kept: %t, want %t", kept, row.kept)
			}
			if !row.kept {
				return
			}
			p.admin.patch(t, path, mergePatch, `{"spec":{"parallelism":3}}`).expect(t, http.StatusOK)
			p.admin.patch(t, path, mergePatch, `{"spec":{"scheduling":{"schedulingPolicy":{"gang":{"minCount":1}}}}}`).
				result(t).expectDenied(t, []string{"spec.scheduling.schedulingPolicy.gang.minCount"})
		})
	}
}
