// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	encodingbinary "encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

const (
	// maxHostileResponse bounds the response to a rejected request.
	maxHostileResponse = 1 << 20
	// livenessTimeout is the timeout of the liveness probe in artifacts/base.
	livenessTimeout = 10 * time.Second
	// hostileClients is the number of clients that send a request at the same time, and
	// fewHostileClients the number unless allHostileVariable is set.
	hostileClients, fewHostileClients = 10, 2
	// allHostileVariable is set by "make test-all". Without it, the test takes a fifth of the time.
	allHostileVariable = "BATCHGATE_ALL_HOSTILE"
)

// hostileJSON returns n comma-separated copies of a format, each with its number.
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

// largeLoad has requests of up to 3 MB that would keep a decoder or a patch busy for very long, or
// cause very long errors. %s is the namespace.
func largeLoad(t *testing.T) map[string]request {
	const (
		jobs, job = "/apis/batch/v1/namespaces/%s/jobs", "/apis/batch/v1/namespaces/%s/jobs/pi"
		cronJobs  = "/apis/batch/v1/namespaces/%s/cronjobs"
		head      = `"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"pi"},`
	)
	repeated := func(n int, element string) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	podSpec := func(field, elements string) string {
		return `"spec":{"template":{"spec":{"` + field + `":[` + elements + `]}}}`
	}
	containers := podSpec("containers", repeated(999_000, "{}"))
	requests := map[string]request{
		"999,000 containers, create":            {method: http.MethodPost, path: jobs, body: []byte("{" + head + containers + "}")},
		"999,000 containers, PUT":               {method: http.MethodPut, path: job, body: []byte("{" + head + containers + "}")},
		"999,000 containers, merge patch":       {contentType: mergePatch, body: []byte("{" + containers + "}")},
		"999,000 containers, strategic":         {contentType: strategicPatch, body: []byte("{" + containers + "}")},
		"999,000 containers, apply":             {contentType: applyPatch, body: []byte("{" + head + containers + "}")},
		"999,000 containers, JSON Patch":        {contentType: jsonPatch, body: []byte(`[{"op":"add","path":"/spec/template/spec/containers","value":[` + repeated(999_000, "{}") + `]}]`)},
		"600,000 null containers":               {contentType: mergePatch, body: []byte("{" + podSpec("containers", repeated(600_000, "null")) + "}")},
		"999,000 containers, YAML":              {method: http.MethodPost, path: jobs, contentType: yamlMediaType, body: []byte("apiVersion: batch/v1\nkind: Job\nspec: {template: {spec: {containers: [" + repeated(999_000, "{}") + "]}}}")},
		"580,000 containers, block YAML":        {method: http.MethodPut, path: job, contentType: yamlMediaType, body: []byte("apiVersion: batch/v1\nkind: Job\nspec:\n template:\n  spec:\n   containers:\n" + strings.Repeat("   -\n", 580_000))},
		"1,400,000 containers, protobuf":        {method: http.MethodPost, path: jobs, contentType: protobufMediaType, body: protobufContainers(t, 1_400_000)},
		"1,000,000 Jobs":                        {method: http.MethodPost, path: jobs, body: []byte(`{"apiVersion":"batch/v1","kind":"JobList","items":[` + repeated(1_000_000, "{}") + `]}`)},
		"999,000 containers of a CronJob":       {method: http.MethodPost, path: cronJobs, body: []byte(`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"x"},"spec":{"jobTemplate":{` + containers + `}}}`)},
		"700,000 fields of a policy":            {method: http.MethodPost, path: policiesPath, body: []byte(`{"apiVersion":"policy.batchgate.io/v1alpha1","kind":"JobUpdatePolicy","metadata":{"name":"x"},"spec":{"fields":[` + repeated(700_000, `"a"`) + `]}}`)},
		"options of a DELETE":                   {method: http.MethodDelete, path: job, body: []byte(`{"dryRun":[` + repeated(700_000, `"a"`) + `]}`)},
		"options of a DELETE of all":            {method: http.MethodDelete, path: jobs, body: []byte(`{"dryRun":[` + repeated(700_000, `"a"`) + `]}`)},
		"150,000 annotations":                   {contentType: mergePatch, body: []byte(`{"metadata":{"annotations":{` + hostileJSON(150_000, `"k%d":""`) + `}}}`)},
		"59,000 annotations":                    {contentType: mergePatch, body: []byte(`{"metadata":{"annotations":{` + hostileJSON(59_000, `"k%d":""`) + `}}}`)},
		"9,999 granted annotations and another": {contentType: mergePatch, body: []byte(`{"metadata":{"annotations":{` + hostileJSON(9_999, `"granted-%d":""`) + `,"k":""}}}`)},
		"operations on a long list":             {contentType: jsonPatch, body: []byte(`[{"op":"add","path":"/spec/template/spec/containers/0/args","value":[` + repeated(50_000, `""`) + `]},` + repeated(9_000, `{"op":"add","path":"/spec/template/spec/containers/0/args/0","value":""}`) + "]")},
		"operations on a list, at the limit":    {contentType: jsonPatch, body: []byte(`[{"op":"add","path":"/spec/template/spec/containers/0/args","value":[` + repeated(50_000, `""`) + `]},` + repeated(1_999, `{"op":"add","path":"/spec/template/spec/containers/0/args/0","value":""}`) + "]")},
		"1,900 containers, strategic":           {contentType: strategicPatch, body: []byte("{" + podSpec("containers", hostileJSON(1_900, `{"name":"c%d","image":"i"}`)) + "}")},
		"alias of a long string":                {contentType: applyPatch, body: []byte("apiVersion: batch/v1\nkind: Job\na: &a " + strings.Repeat("x", 1_000_000) + "\nb: [" + repeated(1_000, "*a") + "]")},
	}
	for _, list := range []string{"containers", "volumes", "topologySpreadConstraints"} {
		requests["29,000 "+list] = request{contentType: mergePatch, body: []byte("{" + podSpec(list, repeated(29_000, "{}")) + "}")}
	}
	requests["create with 29,000 containers"] = request{method: http.MethodPost, path: jobs, body: []byte("{" + head + podSpec("containers", repeated(29_000, "{}")) + "}")}
	// The error contains the value several times.
	long := strings.Repeat("<", 900_000)
	metadata := `"metadata":{"name":"pi","creationTimestamp":"` + long + `"}`
	whole := `{"apiVersion":"batch/v1","kind":"Job",` + metadata + `}`
	for contentType, body := range map[string]string{
		mergePatch:     "{" + metadata + "}",
		strategicPatch: "{" + metadata + "}",
		jsonPatch:      `[{"op":"replace","path":"/metadata/creationTimestamp","value":"` + long + `"}]`,
		applyPatch:     whole,
	} {
		requests["creationTimestamp of 900 kB, "+contentType] = request{contentType: contentType, body: []byte(body)}
	}
	requests["creationTimestamp of 900 kB, create"] = request{method: http.MethodPost, path: jobs, body: []byte(whole)}
	requests["creationTimestamp of 900 kB, PUT"] = request{method: http.MethodPut, path: job, body: []byte(whole)}
	requests["creationTimestamp of 900 kB, YAML"] = request{method: http.MethodPut, path: job, contentType: yamlMediaType, body: []byte(whole), accept: yamlMediaType}
	requests["creationTimestamp of 900 kB, policy"] = request{method: http.MethodPost, path: policiesPath, body: []byte(`{"apiVersion":"policy.batchgate.io/v1alpha1","kind":"JobUpdatePolicy",` + metadata + `}`)}
	requests["kind of 900 kB"] = request{method: http.MethodPost, path: jobs, body: []byte(`{"apiVersion":"batch/v1","kind":"` + long + `"}`)}
	requests["unknown field of 900 kB"] = request{contentType: mergePatch, query: map[string][]string{"fieldValidation": {"Strict"}}, body: []byte(`{"` + long + `":1}`)}
	requests["path of 900 kB in a JSON Patch"] = request{contentType: jsonPatch, body: []byte(`[{"op":"remove","path":"/` + long + `"}]`)}
	requests["name of 900 kB"] = request{method: http.MethodPost, path: jobs, body: []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"` + long + `"}}`)}
	requests["59,000 unknown fields"] = request{contentType: mergePatch, query: map[string][]string{"fieldValidation": {"Strict"}}, body: []byte(`{` + hostileJSON(59_000, `"k%d":1`) + `}`)}
	for name, r := range requests {
		if r.method == "" {
			r.method, r.path = http.MethodPatch, job
		}
		if r.contentType == "" {
			r.contentType = "application/json"
		}
		requests[name] = r
	}
	return requests
}

// protobufContainers returns a Job with n empty containers.
func protobufContainers(t *testing.T, n int) []byte {
	t.Helper()
	raw := bytes.Repeat([]byte{2<<3 | 2, 0}, n)
	for _, field := range []byte{2, 6, 2} { // spec.template.spec, from the innermost one
		raw = append(encodingbinary.AppendUvarint([]byte{field<<3 | 2}, uint64(len(raw))), raw...)
	}
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, Raw: raw}
	body, err := unknown.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("k8s\x00"), body...)
}

// Several clients send the same hostile request at the same time, while policies grant other
// annotations. Each request is rejected with a small response, and the liveness probe never fails.
func TestHostileLoadLeavesServerAlive(t *testing.T) {
	p := startStandaloneProcess(t, filepath.Join(t.TempDir(), "data"))
	const namespace = "hostile"
	p.admin.create(t, namespace, newJob(t))
	p.admin.do(t, request{method: http.MethodPost, path: cronJobsPath(namespace), body: []byte(cronJob)}).expect(t, http.StatusCreated)
	policies := p.admin.policies(t)
	for i := range 80 {
		policy := policyFor(namespace, fmt.Sprintf(`metadata.annotations["team-%d/*"]`, i), fmt.Sprintf(`metadata.annotations["other-%d"]`, i), `metadata.annotations["granted-*"]`)
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
	count := fewHostileClients
	if os.Getenv(allHostileVariable) != "" {
		count = hostileClients
	}
	load := hostileLoad()
	maps.Copy(load, largeLoad(t))
	for name, r := range load {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(r.path, "%s") {
				r.path = fmt.Sprintf(r.path, namespace)
			}
			if r.contentType == applyPatch {
				r.query = map[string][]string{"fieldManager": {"hostile"}, "force": {"true"}}
			}
			began := time.Now()
			var clients sync.WaitGroup
			for range count {
				clients.Go(func() {
					resp := p.admin.do(t, r)
					// Upstream responds with 500 to some invalid apply patches, and with 504 on a busy machine.
					if resp.code < 400 || resp.code > 500 && resp.code != http.StatusGatewayTimeout {
						t.Errorf("got status %d, want 4xx, 500 or 504: %.300s", resp.code, resp.body)
					}
					if size := len(resp.body) + headerSize(resp.header); size > maxHostileResponse {
						t.Errorf("response has %d bytes, want at most %d", size, maxHostileResponse)
					}
				})
			}
			clients.Wait()
			t.Logf("%d requests took %s", count, time.Since(began).Round(10*time.Millisecond))
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
