// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

const (
	// maxHostileResponse bounds the response to a rejected request.
	maxHostileResponse = 1 << 20
	// livenessTimeout is the timeout of the liveness probe in artifacts/base.
	livenessTimeout = 10 * time.Second
	// hostileClients is the number of clients that send a request at the same time.
	hostileClients = 4
)

// hostileJSON returns n comma-separated copies of a format for a number.
func hostileJSON(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+",", i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// hostileLoad has requests that make a server work hard before it rejects them. %s is the
// namespace.
func hostileLoad() map[string]request {
	const job, status, cronJob = "/apis/batch/v1/namespaces/%s/jobs/pi", "/apis/batch/v1/namespaces/%s/jobs/pi/status", "/apis/batch/v1/namespaces/%s/cronjobs/nightly"
	metadata := func(field, value string) []byte { return []byte(`{"metadata":{"` + field + `":` + value + `}}`) }
	object := func(members string) string { return "{" + members + "}" }
	list := func(elements string) string { return "[" + elements + "]" }
	patch := func(path, contentType string, body []byte) request {
		return request{method: http.MethodPatch, path: path, contentType: contentType, body: body}
	}
	invalidLabels := metadata("labels", object(hostileJSON(8_000, `"?%d":"v"`)))
	return map[string]request{
		"50,000 annotations":                    patch(job, mergePatch, metadata("annotations", object(hostileJSON(50_000, `"k%d":""`)))),
		"50,000 annotations through status":     patch(status, mergePatch, metadata("annotations", object(hostileJSON(50_000, `"k%d":""`)))),
		"8,000 invalid labels":                  patch(job, mergePatch, invalidLabels),
		"8,000 invalid labels through status":   patch(status, mergePatch, invalidLabels),
		"8,000 invalid labels of a CronJob":     patch(cronJob, mergePatch, invalidLabels),
		"8,000 invalid labels, CronJob status":  patch(cronJob+"/status", mergePatch, invalidLabels),
		"annotation key of 450 kB":              patch(job, mergePatch, metadata("annotations", object(`"`+strings.Repeat("<", 450_000)+`":""`))),
		"4 annotation keys of 250 kB":           patch(job, mergePatch, metadata("annotations", object(hostileJSON(4, `"`+strings.Repeat("k", 250_000)+`%d":""`)))),
		"invalid label value of 500 kB":         patch(job, mergePatch, metadata("labels", object(`"k":"`+strings.Repeat("<", 500_000)+`"`))),
		"20,000 finalizers":                     patch(job, mergePatch, metadata("finalizers", list(hostileJSON(20_000, `"a/f%d"`)))),
		"5,000 owner references":                patch(job, mergePatch, metadata("ownerReferences", list(hostileJSON(5_000, `{"apiVersion":"v1","kind":"K","name":"n","uid":"%d"}`)))),
		"10,000 containers":                     patch(job, mergePatch, []byte(`{"spec":{"template":{"spec":{"containers":[`+hostileJSON(10_000, `{"name":"c%d","image":"i"}`)+`]}}}}`)),
		"1,000 containers, strategic merge":     patch(job, strategicPatch, []byte(`{"spec":{"template":{"spec":{"containers":[`+hostileJSON(1_000, `{"name":"c%d","image":"i"}`)+`]}}}}`)),
		"10,000 variables":                      patch(job, mergePatch, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[`+hostileJSON(10_000, `{"name":"=%d"}`)+`]}]}}}}`)),
		"10,000 annotations by JSON Patch":      patch(job, jsonPatch, []byte(list(hostileJSON(10_000, `{"op":"add","path":"/metadata/annotations/k%d","value":""}`)))),
		"10,000 annotations by apply":           patch(job, applyPatch, []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"annotations":{`+hostileJSON(10_000, `"k%d":""`)+`}}}`)),
		"managed fields of 500 kB":              patch(job, mergePatch, []byte(`{"metadata":{"annotations":{"a":"b"},"managedFields":[{"manager":"m","operation":"Update","apiVersion":"batch/v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{`+hostileJSON(20_000, `"f:k%d":{}`)+`}}}}]}}`)),
		"create with 8,000 invalid labels":      {method: http.MethodPost, path: "/apis/batch/v1/namespaces/%s/jobs", body: createJob(object(hostileJSON(8_000, `"?%d":"v"`)), "")},
		"create with 20,000 invalid variables":  {method: http.MethodPost, path: "/apis/batch/v1/namespaces/%s/jobs", body: createJob("{}", hostileJSON(20_000, `{"name":"=%d"}`))},
		"policy with 8,000 invalid labels":      {method: http.MethodPost, path: policiesPath, body: []byte(`{"apiVersion":"policy.batchgate.io/v1alpha1","kind":"JobUpdatePolicy","metadata":{"name":"x","labels":{` + hostileJSON(8_000, `"?%d":"v"`) + `}},"spec":{"fields":["spec.suspend"]}}`)},
		"policy update with 8,000 wrong labels": patch(policiesPath+"/default", mergePatch, invalidLabels),
	}
}

func createJob(labels, env string) []byte {
	return []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"x","labels":` + labels + `},"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"i","env":[` + env + `]}]}}}}`)
}

// Several clients send the same hostile request at the same time, while policies grant other
// annotations. Each request is rejected with a small response, and the liveness probe never fails.
func TestHostileLoadLeavesServerAlive(t *testing.T) {
	p := startStandaloneProcess(t, filepath.Join(t.TempDir(), "data"))
	const namespace = "hostile"
	p.admin.create(t, namespace, newJob(t))
	p.admin.do(t, request{method: http.MethodPost, path: cronJobsPath(namespace), body: []byte(cronJob)}).expect(t, http.StatusCreated)
	policies := p.admin.policies(t)
	for i := range 50 {
		policy := policyFor(namespace, fmt.Sprintf(`metadata.annotations["team-%d/*"]`, i), fmt.Sprintf(`metadata.annotations["other-%d"]`, i))
		policy.Name = fmt.Sprintf("p%d", i)
		policy.Spec.NamespaceSelector = nil
		policy.Spec.JobSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: fmt.Sprintf("absent-%d", i), Operator: metav1.LabelSelectorOpDoesNotExist},
		}}
		policy.Spec.Action = v1alpha1.Allow
		if _, err := policies.Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	probed := make(chan struct{})
	go func() {
		defer close(probed)
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			probe, cancel := context.WithTimeout(ctx, livenessTimeout)
			resp, err := p.admin.send(probe, request{method: http.MethodGet, path: "/livez", query: map[string][]string{"exclude": {"etcd"}}})
			cancel()
			if ctx.Err() == nil && (err != nil || resp.code != http.StatusOK) {
				t.Errorf("liveness probe failed: %v %s", err, responseText(resp))
			}
		}
	}()
	defer func() { stop(); <-probed }()
	for name, r := range hostileLoad() {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(r.path, "%s") {
				r.path = fmt.Sprintf(r.path, namespace)
			}
			if r.contentType == applyPatch {
				r.query = map[string][]string{"fieldManager": {"hostile"}, "force": {"true"}}
			}
			began := time.Now()
			var clients sync.WaitGroup
			for range hostileClients {
				clients.Go(func() {
					resp := p.admin.do(t, r)
					if resp.code < 400 || resp.code > 499 {
						t.Errorf("got status %d, want 4xx: %.300s", resp.code, resp.body)
					}
					if size := len(resp.body) + headerSize(resp.header); size > maxHostileResponse {
						t.Errorf("response has %d bytes, want at most %d", size, maxHostileResponse)
					}
				})
			}
			clients.Wait()
			t.Logf("%d requests took %s", hostileClients, time.Since(began).Round(10*time.Millisecond))
		})
	}
}

func headerSize(h http.Header) int {
	size := 0
	for name, values := range h {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	return size
}

func responseText(resp *response) string {
	if resp == nil {
		return "no response"
	}
	return fmt.Sprintf("%d %.500s", resp.code, resp.body)
}
