// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
)

// reviews returns the generated client for the reviews of a user.
func (u *user) reviews(t testing.TB) policyclient.PolicyV1alpha1Interface {
	t.Helper()
	client, err := policyclient.NewForConfigAndClient(&rest.Config{Host: u.server.url, QPS: -1}, u.http)
	if err != nil {
		t.Fatalf("creating client: %v", err)
	}
	return client
}

// A review says what happens to a dry run.
func TestReviewAgreesWithDryRun(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	createPolicy(t, policyFor(namespace, `metadata.annotations["example.com/*"]`, "spec.suspend", "spec.template", "spec.podFailurePolicy.rules"))
	warning := policyFor(namespace, "spec.backoffLimit")
	warning.Name += "-warning"
	warning.Spec.Action = v1alpha1.Warn
	createPolicy(t, warning)
	shared.admin.create(t, namespace, newJob(t))
	patches := map[string]string{
		"spec.parallelism":                      `{"spec":{"parallelism":7}}`,
		"spec.suspend":                          `{"spec":{"suspend":true}}`,
		"spec.backoffLimit":                     `{"spec":{"backoffLimit":1}}`,
		"spec.activeDeadlineSeconds":            `{"spec":{"activeDeadlineSeconds":1}}`,
		`metadata.annotations["example.com/a"]`: `{"metadata":{"annotations":{"example.com/a":"x"}}}`,
		`metadata.annotations["a"]`:             `{"metadata":{"annotations":{"a":"x"}}}`,
		"spec.template.spec.hostNetwork":        `{"spec":{"template":{"spec":{"hostNetwork":true}}}}`,
		"spec.podFailurePolicy.rules":           `{"spec":{"podFailurePolicy":{"rules":[{"action":"Ignore","onPodConditions":[{"type":"DisruptionTarget"}]}]}}}`,
		"metadata.labels[*]":                    `{"metadata":{"labels":{"new":"x"}}}`,
	}
	review := &v1alpha1.SelfJobUpdateReview{Spec: v1alpha1.SelfJobUpdateReviewSpec{Job: v1alpha1.ReviewedJob{Name: "pi"}}}
	for field := range patches {
		review.Spec.Fields = append(review.Spec.Fields, field)
	}
	before := shared.read(t, jobKey(namespace, "pi"))
	answer, err := shared.admin.reviews(t).SelfJobUpdateReviews(namespace).Create(t.Context(), review, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	decided := map[v1alpha1.ReviewDecision]int{}
	for i, got := range answer.Status.Fields {
		decided[got.Decision]++
		resp := shared.admin.do(t, request{
			method: http.MethodPatch, path: jobPath(namespace, "pi"), query: map[string][]string{"dryRun": {"All"}},
			contentType: mergePatch, body: []byte(patches[got.Field]),
		})
		allowed, warned := resp.code == http.StatusOK, resp.header.Get("Warning") != ""
		if got.Field != review.Spec.Fields[i] || allowed != (got.Decision != v1alpha1.ReviewDeny) || warned != (got.Decision == v1alpha1.ReviewWarn) {
			t.Errorf("the review says %+v, and a dry run got %d with warning %q: %.300s", got, resp.code, resp.header.Get("Warning"), resp.body)
		}
	}
	if decided[v1alpha1.ReviewAllow] != 4 || decided[v1alpha1.ReviewWarn] != 1 || decided[v1alpha1.ReviewDeny] != 4 {
		t.Errorf("got decisions %v", decided)
	}
	shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
}

func TestReviewOfOtherUser(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	p := policyFor(namespace, "spec.suspend")
	p.Spec.JobSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "render"}}
	p.Spec.Subjects = []rbacv1.Subject{{Kind: rbacv1.GroupKind, Name: "operators"}}
	createPolicy(t, p)
	for name, tc := range map[string]struct {
		spec v1alpha1.JobUpdateReviewSpec
		want v1alpha1.ReviewDecision
	}{
		"group and labels": {v1alpha1.JobUpdateReviewSpec{Groups: []string{"operators"}, Job: v1alpha1.ReviewedJob{Labels: map[string]string{"app": "render"}}}, v1alpha1.ReviewAllow},
		"other labels":     {v1alpha1.JobUpdateReviewSpec{Groups: []string{"operators"}, Job: v1alpha1.ReviewedJob{Labels: map[string]string{"app": "web"}}}, v1alpha1.ReviewDeny},
		"other user":       {v1alpha1.JobUpdateReviewSpec{User: "operators", Job: v1alpha1.ReviewedJob{Labels: map[string]string{"app": "render"}}}, v1alpha1.ReviewDeny},
	} {
		t.Run(name, func(t *testing.T) {
			tc.spec.Fields = []string{"spec.suspend"}
			answer, err := shared.admin.reviews(t).JobUpdateReviews(namespace).Create(t.Context(), &v1alpha1.JobUpdateReview{Spec: tc.spec}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := answer.Status.Fields[0]; got.Decision != tc.want {
				t.Errorf("got %+v, want %s", got, tc.want)
			}
		})
	}
}

func TestReviewListsUpdatableFields(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	p := policyFor(namespace, "spec.suspend")
	p.Spec.Action = v1alpha1.Warn
	createPolicy(t, p)
	answer, err := shared.admin.reviews(t).SelfJobUpdateReviews(namespace).Create(t.Context(), &v1alpha1.SelfJobUpdateReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]v1alpha1.Action{}
	for _, f := range answer.Status.UpdatableFields {
		got[f.Field] = f.Action
	}
	want := map[string]v1alpha1.Action{
		"metadata.labels": v1alpha1.Allow, "spec.completions": v1alpha1.Allow, "spec.parallelism": v1alpha1.Allow, "spec.selector": v1alpha1.Allow, "spec.suspend": v1alpha1.Warn,
	}
	for field, action := range want {
		if got[field] != action {
			t.Errorf("%s has action %q, want %s", field, got[field], action)
		}
	}
}

func TestReviewInvalid(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	const (
		self  = "selfjobupdatereviews"
		other = "jobupdatereviews"
	)
	var manyLabels strings.Builder
	for i := range 256 {
		fmt.Fprintf(&manyLabels, `,"l%d":""`, i)
	}
	for name, tc := range map[string]struct {
		resource, spec string
		code           int
		message        string
	}{
		"missing Job":           {self, `{"job":{"name":"none"}}`, 404, `jobs.batch "none" not found`},
		"name and labels":       {self, `{"job":{"name":"pi","labels":{"a":"b"}}}`, 422, "spec.job.labels: Forbidden: may not be set together with name"},
		"invalid name":          {self, `{"job":{"name":"?"}}`, 422, "spec.job.name: Invalid value"},
		"invalid labels":        {self, `{"job":{"labels":{"?":"b"}}}`, 422, "spec.job.labels: Invalid value"},
		"unknown field":         {self, `{"fields":["spec.supend"]}`, 422, "the nearest is spec.suspend"},
		"field listed twice":    {self, `{"fields":["spec.suspend","spec.suspend"]}`, 422, "spec.fields[1]: Duplicate value"},
		"too many fields":       {self, `{"fields":[` + strings.TrimSuffix(strings.Repeat(`"spec",`, 65), ",") + `]}`, 422, "must have at most 64 items"},
		"too many labels":       {self, `{"job":{"labels":{"l":""` + manyLabels.String() + `}}}`, 422, "must have at most 256 items"},
		"two invalid fields":    {self, `{"fields":["spec.a","spec.b"]}`, 422, "the fields after it are not validated yet"},
		"long user":             {other, `{"user":"` + strings.Repeat("a", 1025) + `"}`, 422, "spec.user: Too long"},
		"long group":            {other, `{"groups":["` + strings.Repeat("a", 1025) + `"]}`, 422, "spec.groups[0]: Too long"},
		"700,000 fields":        {self, `{"fields":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 700_000), ",") + `]}`, 413, "too large"},
		"nobody to ask for":     {other, `{}`, 422, "spec.user: Required value"},
		"unknown field of spec": {self, `{"jobName":"pi"}`, 400, `unknown field "spec.jobName"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp := shared.admin.do(t, request{
				method: http.MethodPost, path: "/apis/policy.batchgate.io/v1alpha1/namespaces/" + namespace + "/" + tc.resource,
				query: map[string][]string{"fieldValidation": {"Strict"}},
				body:  []byte(`{"apiVersion":"policy.batchgate.io/v1alpha1","kind":"` + map[string]string{self: "SelfJobUpdateReview", other: "JobUpdateReview"}[tc.resource] + `","spec":` + tc.spec + `}`),
			})
			if resp.code != tc.code || !strings.Contains(string(resp.body), strings.ReplaceAll(tc.message, `"`, `\"`)) {
				t.Errorf("got status %d, want %d with %q: %.500s", resp.code, tc.code, tc.message, resp.body)
			}
		})
	}
	named := &v1alpha1.SelfJobUpdateReview{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	if _, err := shared.admin.reviews(t).SelfJobUpdateReviews(namespace).Create(t.Context(), named, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a review with a name got %v", err)
	}
}

// Reviews cannot be read, since nothing is stored.
func TestReviewDiscovery(t *testing.T) {
	t.Parallel()
	var got metav1.APIResourceList
	shared.admin.get(t, "/apis/policy.batchgate.io/v1alpha1").decode(t, &got)
	verbs := map[string]string{}
	for _, r := range got.APIResources {
		if r.Namespaced {
			verbs[r.Name] = fmt.Sprint(r.Kind, r.SingularName, r.Verbs)
		}
	}
	want := map[string]string{
		"jobupdatereviews":     "JobUpdateReviewjobupdatereview[create]",
		"selfjobupdatereviews": "SelfJobUpdateReviewselfjobupdatereview[create]",
	}
	if diff := cmp.Diff(want, verbs); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
}

// The largest review of a large Job would have the most updates to try, so it only checks the first fields.
func TestReviewOfLargeJob(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	createPolicy(t, policyFor(namespace, "*"))
	shared.admin.create(t, namespace, newJob(t, func(job *batchv1.Job) {
		for i := range 5000 {
			job.Spec.Template.Spec.Volumes = append(job.Spec.Template.Spec.Volumes, corev1.Volume{Name: fmt.Sprintf("%060d", i)})
		}
	}))
	review := &v1alpha1.SelfJobUpdateReview{Spec: v1alpha1.SelfJobUpdateReviewSpec{Job: v1alpha1.ReviewedJob{Name: "pi"}}}
	for i := range 60 {
		review.Spec.Fields = append(review.Spec.Fields, fmt.Sprintf(`spec.template.spec.containers[name="c%d"].image`, i))
	}
	review.Spec.Fields = append(review.Spec.Fields, "spec.template", "spec.template.spec.volumes", "spec", "*")
	answer, err := shared.admin.reviews(t).SelfJobUpdateReviews(namespace).Create(t.Context(), review, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if f := answer.Status.Fields[0]; f.Decision != v1alpha1.ReviewDeny || f.Reason != "spec.template: field is immutable" {
		t.Errorf("the first field: %+v", f)
	}
	if f := answer.Status.Fields[63]; f.Decision != v1alpha1.ReviewAllow || !strings.Contains(f.Reason, "not checked, because the Job is large") {
		t.Errorf("the last field: %+v", f)
	}
	// A field with more possible changes than a review of this Job may try.
	review.Spec.Fields = []string{"spec.template"}
	if answer, err = shared.admin.reviews(t).SelfJobUpdateReviews(namespace).Create(t.Context(), review, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if f := answer.Status.Fields[0]; f.Decision != v1alpha1.ReviewAllow || f.Reason != "only some fields below it were checked, because the Job is large, and none of these may change: spec.template: field is immutable" {
		t.Errorf("the only field: %+v", f)
	}
}

// A client may ask for the object of each row of a table.
func TestReviewTable(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	fields := `"metadata.annotations[\"a\"]"`
	for i := range 63 {
		fields += fmt.Sprintf(`,"metadata.annotations[\"a%d\"]"`, i)
	}
	label := strings.Repeat("a", 60)
	resp := shared.admin.do(t, request{
		method: http.MethodPost, path: "/apis/policy.batchgate.io/v1alpha1/namespaces/" + namespace + "/selfjobupdatereviews",
		query:  map[string][]string{"includeObject": {"Object"}},
		accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
		body:   []byte(`{"apiVersion":"policy.batchgate.io/v1alpha1","kind":"SelfJobUpdateReview","spec":{"job":{"labels":{"app":"` + label + `"}},"fields":[` + fields + `]}}`),
	})
	var table metav1.Table
	resp.decode(t, &table)
	if resp.code != http.StatusCreated || len(table.Rows) != 64 || strings.Contains(string(resp.body), label) {
		t.Errorf("got status %d, %d rows: %.500s", resp.code, len(table.Rows), resp.body)
	}
}
