package integration

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
	"k8s.io/apimachinery/pkg/version"

	"github.com/batchgate/batchgate/pkg/pki"
)

func TestTheStandaloneServerSaysHowToUseIt(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "data")
	p := startProcess(t, directory)
	// It is printed by the server's own look at its readiness, which may come after ours.
	for deadline := time.Now().Add(patience); !strings.Contains(p.printed.String(), "Ctrl-C"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it prints %q", p.printed)
		}
	}
	for _, want := range []string{
		"Batchgate serves batch/v1 at " + p.url + ". Try",
		"export KUBECONFIG=" + filepath.Join(directory, "admin.kubeconfig") + "\n",
	} {
		if !strings.Contains(p.printed.String(), want) {
			t.Errorf("it does not print %q but\n%s", want, p.printed)
		}
	}
}

func TestLogsAreJSONWhereTheyAreToBe(t *testing.T) {
	t.Parallel()
	p := startProcess(t, filepath.Join(t.TempDir(), "data"), "--logging-format=json")
	p.admin.create(t, "default", newJob(t))
	if code := p.terminate(t); code != 0 {
		t.Errorf("the server exits with %d", code)
	}
	lines := 0
	for line := range strings.Lines(p.output.String()) {
		var entry struct {
			TS  any     `json:"ts"` // etcd writes a date
			Msg *string `json:"msg"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.TS == nil || entry.Msg == nil {
			t.Errorf("not an entry of a log in JSON: %s", line)
		}
		lines++
	}
	if lines == 0 || !strings.Contains(p.output.String(), `"msg":"Starting batchgate-apiserver"`) {
		t.Errorf("the log has %d lines, and does not begin as it should:\n%s", lines, p.output)
	}
}

// gang is a Job with a field that upstream knows behind feature gates only.
const gang = `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"pi"},"spec":{"parallelism":2,"completions":2,"completionMode":"Indexed",
	"scheduling":{"schedulingPolicy":{"gang":{"minCount":2}}},
	"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"perl"}]}}}}`

func TestEmulatedVersionAndFeatureGatesTakeEffect(t *testing.T) {
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
			p.admin.do(t, request{method: http.MethodPost, path: jobsPath("default"), body: []byte(gang)}).expect(t, http.StatusCreated)
			path := jobPath("default", "pi")
			if kept := p.admin.get(t, path).job(t).Spec.Scheduling != nil; kept != row.kept {
				t.Errorf("spec.scheduling is kept: %t, want %t", kept, row.kept)
			}
			if !row.kept {
				return
			}
			p.admin.patch(t, path, mergePatch, `{"spec":{"parallelism":3}}`).expect(t, http.StatusOK)
			p.admin.patch(t, path, mergePatch, `{"spec":{"scheduling":{"schedulingPolicy":{"gang":{"minCount":1}}}}}`).
				result(t).expectRefused(t, []string{"spec.scheduling.schedulingPolicy.gang.minCount"})
		})
	}
}

// Feature gates are of a process, so this one has its own.
func TestCBORIsServedAndGatedBehindItsFeatureGate(t *testing.T) {
	t.Parallel()
	p := startClusterProcess(t, "--feature-gates=CBORServingAndStorage=true")
	send := func(method, contentType string, body any) *answer {
		r := request{method: method, path: jobPath("default", "pi"), accept: cborMediaType}
		switch method {
		case http.MethodPost:
			r.path = jobsPath("default")
		case http.MethodPatch:
			r.path += "?fieldManager=cbor&force=true"
		}
		if body != nil {
			content, err := direct.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			r.contentType, r.body = contentType, content
		}
		a := p.admin.do(t, r)
		if got := a.header.Get("Content-Type"); got != cborMediaType {
			t.Errorf("%s is answered with %s: %s", method, got, a.body)
		}
		return a
	}
	read := func(a *answer) *batchv1.Job {
		job := &batchv1.Job{}
		if err := direct.Unmarshal(a.body, job); err != nil {
			t.Fatalf("reading CBOR: %v\n%q", err, a.body)
		}
		return job
	}
	send(http.MethodPost, cborMediaType, newJob(t)).expect(t, http.StatusCreated)
	job := read(send(http.MethodGet, "", nil).expect(t, http.StatusOK))
	job.Labels["team"] = "green"
	job = read(send(http.MethodPut, cborMediaType, job).expect(t, http.StatusOK))
	if job.Labels["team"] != "green" || job.SelfLink != jobPath("default", "pi") {
		t.Errorf("the updated Job is not the wanted one: %v", job.ObjectMeta)
	}
	const applyMediaType = "application/apply-patch+cbor"
	applied := func(spec map[string]any) map[string]any {
		return map[string]any{"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": "pi"}, "spec": spec}
	}
	job = read(send(http.MethodPatch, applyMediaType, applied(map[string]any{"parallelism": 3})).expect(t, http.StatusOK))
	if *job.Spec.Parallelism != 3 {
		t.Errorf("the applied Job is not the wanted one: %v", job.Spec)
	}
	send(http.MethodPatch, applyMediaType, applied(map[string]any{"parallelism": 4, "backoffLimit": 0})).expect(t, http.StatusUnprocessableEntity)
	if is := read(send(http.MethodGet, "", nil).expect(t, http.StatusOK)); is.ResourceVersion != job.ResourceVersion {
		t.Errorf("a refused apply has changed the Job: %v", is)
	}
	// Authentication answers before the API group does.
	unknownCA, err := pki.LoadOrCreate(filepath.Join(t.TempDir(), "ca.crt"), filepath.Join(t.TempDir(), "ca.key"), "unknown")
	if err != nil {
		t.Fatal(err)
	}
	forged, err := clientCertificate(unknownCA, "admin", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	refused := p.newUserWith(forged).do(t, request{method: http.MethodGet, path: jobPath("default", "pi"), accept: cborMediaType})
	if got := refused.expect(t, http.StatusUnauthorized).header.Get("Content-Type"); got != cborMediaType {
		t.Errorf("a wrong certificate is answered in %s", got)
	}
	job.Spec.Template.Spec.Containers[0].Image = "python"
	send(http.MethodPut, cborMediaType, job).expect(t, http.StatusUnprocessableEntity)
	if image := p.admin.get(t, jobPath("default", "pi")).job(t).Spec.Template.Spec.Containers[0].Image; image != "perl" {
		t.Errorf("the stored image is %s", image)
	}
}
