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
		t.Errorf("the server exits with %d", code)
	}
	lines := 0
	for line := range strings.Lines(p.stderr.String()) {
		var entry struct {
			TS  any     `json:"ts"` // etcd writes a date
			Msg *string `json:"msg"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.TS == nil || entry.Msg == nil {
			t.Errorf("not an entry of a log in JSON: %s", line)
		}
		lines++
	}
	if lines == 0 || !strings.Contains(p.stderr.String(), `"msg":"Starting batchgate-apiserver"`) {
		t.Errorf("the log has %d lines, and does not begin as it should:\n%s", lines, p.stderr)
	}
}

// gang is a Job with a field that upstream knows behind feature gates only.
const gangJob = `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"pi"},"spec":{"parallelism":2,"completions":2,"completionMode":"Indexed",
	"scheduling":{"schedulingPolicy":{"gang":{"minCount":2}}},
	"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"perl"}]}}}}`

func TestEmulatedVersionAndFeatureGates(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		args                    []string
		emulationMinor, enabled string
		kept                    bool // spec.scheduling, which upstream drops without the feature
	}{
		"by default": {nil, "37", "0", false},
		"an older version with a feature": {
			[]string{"--emulated-version=1.36", "--feature-gates=GenericWorkload=true,WorkloadWithJob=true"}, "36", "1", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startClusterProcess(t, row.args...)
			var info version.Info
			p.admin.get(t, "/version").decode(t, &info)
			if info.EmulationMajor != "1" || info.EmulationMinor != row.emulationMinor {
				t.Errorf("it emulates %s.%s, want 1.%s", info.EmulationMajor, info.EmulationMinor, row.emulationMinor)
			}
			metric := `kubernetes_feature_enabled{name="WorkloadWithJob",stage="ALPHA"} ` + row.enabled
			if !strings.Contains(string(p.admin.get(t, "/metrics").body), metric) {
				t.Errorf("there is no metric %s", metric)
			}
			p.admin.do(t, request{method: http.MethodPost, path: jobsPath("default"), body: []byte(gangJob)}).expect(t, http.StatusCreated)
			path := jobPath("default", "pi")
			if kept := p.admin.get(t, path).job(t).Spec.Scheduling != nil; kept != row.kept {
				t.Errorf("spec.scheduling is kept: %t, want %t", kept, row.kept)
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
