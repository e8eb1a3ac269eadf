// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

const updatableText = `updatable fields are metadata.labels, spec.completions, spec.parallelism, spec.selector; no JobUpdatePolicy grants this change to "alice" (kubectl get jup)`

var updatable = []string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"}

func paths(n int) []fieldpath.Path {
	result := make([]fieldpath.Path, n)
	for i := range result {
		result[i] = fieldpath.Path{}.Field("spec").Field(fmt.Sprintf("field%03d", i))
	}
	return result
}

func parsePath(t *testing.T, text string) fieldpath.Path {
	t.Helper()
	path, err := fieldpath.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestForbidden_NamesPathAndUpdatableFields(t *testing.T) {
	errs := forbidden([]fieldpath.Path{
		parsePath(t, `metadata.annotations["example.com/a"]`),
		parsePath(t, `spec.template.spec.containers[name="main"].image`),
	}, updatable, "alice")
	want := []string{
		`metadata.annotations["example.com/a"]: Forbidden: may not be updated`,
		`spec.template.spec.containers[name="main"].image: Forbidden: may not be updated; ` + updatableText,
	}
	for i, err := range errs {
		if err.Type != field.ErrorTypeForbidden || err.Error() != want[i] {
			t.Errorf("error %d is %s %q, want Forbidden %q", i, err.Type, err, want[i])
		}
	}
	if len(errs) != len(want) {
		t.Errorf("%d errors, want %d", len(errs), len(want))
	}
}

func TestTooManyChanges_NamesField(t *testing.T) {
	const want = "metadata.annotations: Forbidden: may not be updated; the update changes more than 10000 fields"
	if got := tooManyChanges([]fieldpath.Path{parsePath(t, "metadata.annotations")}).Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestForbidden_ListsFiftyPaths(t *testing.T) {
	for n, want := range map[int]struct {
		errs int
		tail string
	}{
		1:   {1, ""},
		50:  {50, ""},
		51:  {50, "; 1 more changed fields are not listed"},
		120: {50, "; 70 more changed fields are not listed"},
	} {
		errs := forbidden(paths(n), updatable, "alice")
		if len(errs) != want.errs {
			t.Errorf("%d paths: %d errors, want %d", n, len(errs), want.errs)
		}
		for i, err := range errs {
			detail := "may not be updated"
			if i == len(errs)-1 {
				detail += "; " + updatableText + want.tail
			}
			if err.Field != paths(n)[i].String() || err.Detail != detail {
				t.Errorf("%d paths: error %d is %q, want %q", n, i, err, detail)
			}
		}
	}
}

func TestForbidden_LastAppliedHint(t *testing.T) {
	const hint = "kubectl apply writes this annotation: use kubectl patch, or create and update the Job with kubectl apply --server-side"
	for path, want := range map[string]bool{
		`metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`:               true,
		`metadata.annotations["kubectl.kubernetes.io/restartedAt"]`:                              false,
		`spec.template.metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`: false,
	} {
		errs := forbidden([]fieldpath.Path{parsePath(t, path)}, updatable, "alice")
		if got := strings.Contains(errs[0].Detail, hint); got != want {
			t.Errorf("%s: hint %t, want %t: %s", path, got, want, errs[0])
		}
	}
}

// A denied update must not pass, even if the list of denied paths is empty by mistake.
func TestForbidden_WithoutPaths(t *testing.T) {
	errs := forbidden(nil, updatable, "alice")
	if len(errs) != 1 || errs[0].Type != field.ErrorTypeInternal {
		t.Errorf("%v, want one internal error", errs)
	}
}

func TestForbidden_LimitsUpdatableFields(t *testing.T) {
	for n, want := range map[int]string{
		0:  `may not be updated; no JobUpdatePolicy grants this change to "alice" (kubectl get jup)`,
		1:  `may not be updated; updatable fields are spec.field000; no JobUpdatePolicy grants this change`,
		12: `spec.field010, spec.field011; no JobUpdatePolicy grants this change`,
		13: `spec.field010, spec.field011 and more; no JobUpdatePolicy grants this change`,
	} {
		fields := make([]string, n)
		for i, path := range paths(n) {
			fields[i] = path.String()
		}
		if got := forbidden(paths(1), fields, "alice")[0].Detail; !strings.Contains(got, want) {
			t.Errorf("%d fields: %s, want %s", n, got, want)
		}
	}
}

// JSON needs six bytes for each of these characters, and a response has each error twice.
func TestStrategy_LongDenialIsBounded(t *testing.T) {
	p := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	for i := range maxUpdatableFields {
		p.Spec.Fields = append(p.Spec.Fields, fmt.Sprintf(`metadata.annotations["%02d%s"]`, i, strings.Repeat("<", 220)))
	}
	v1alpha1.SetDefaults_JobUpdatePolicySpec(&p.Spec)
	got := update(t, NewStrategy(newGate(p)), strings.Repeat("<", 300), storedJob(t), func(j *batch.Job) {
		j.Annotations = map[string]string{}
		for i := range maxDeniedPaths {
			j.Annotations[fmt.Sprintf("k%d%s", i, strings.Repeat("<", 300))] = ""
		}
	})
	if n := len(causes(t, got.err)); n == 0 {
		t.Fatal("the update is not denied")
	}
	response, err := json.Marshal(got.err)
	if err != nil {
		t.Fatal(err)
	}
	if len(response) > 1<<20 {
		t.Errorf("the response has %d bytes, want at most 1 MiB", len(response))
	}
}

// Pages show messages as kubectl prints them.
func TestDocsQuoteMessages(t *testing.T) {
	quoted := 0
	err := filepath.WalkDir("../../../../docs", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := strings.Split(string(content), "\n")
		for i, line := range lines {
			warns := strings.Contains(line, "kubectl apply --force and Argo CD with Force=true delete and recreate")
			if warns && strings.TrimPrefix(line, "Warning: ") != recreationWarning {
				t.Errorf("%s has another warning than the server: %s", path, line)
			}
			inList := strings.HasPrefix(line, "* ") && strings.Contains(line, ": Forbidden: may not be updated")
			if last := inList && !strings.HasPrefix(lines[i+1], "* "); inList && last != strings.Contains(line, "; updatable fields are ") {
				t.Errorf("%s: only the last path of a denial has the updatable fields: %s", path, line)
			}
			if warns || inList {
				quoted++
			}
		}
		return nil
	})
	if err != nil || quoted == 0 {
		t.Errorf("%d messages found, error %v", quoted, err)
	}
}
