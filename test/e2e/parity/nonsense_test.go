package parity

import (
	"bytes"
	"net/http"
	"strings"
)

// nonsense asks for what is not there, or in ways that are not understood.
func nonsense(r *run) {
	r.begin("paths")
	r.create("there", nil)
	for _, path := range []string{
		"", "/", "//", "/jobs/", "/jobs/there", "/job", "/cronjobs/", "/pods", "/namespaces", "/namespaces/", "/namespaces/" + namespace, in("pods"), in("jobs") + "/", in("jobs", "there", ""), in("jobs", "none"),
		in("jobs", "there", "scale"), in("jobs", "there", "status", "x"), in("jobs", "there", "log"), in("cronjobs", "there", "scale"), in("jobs", "There"), in("jobs", "th%2Fere"), in("jobs", "th%20ere"), in("jobs", "%00"), in("jobs", ".."), in("jobs", "%2e%2e"),
		"/namespaces//jobs", "/namespaces/none/jobs", "/namespaces/none/jobs/there", "/namespaces/%20/jobs", in("jobs", strings.Repeat("x", 300)), "/proxy" + in("jobs", "there"), "/watch", "/watch/", "/watch/jobs/there",
		in("jobs", "there") + "?pretty=1", in("jobs", "there") + "?pretty=false", in("jobs", "there") + "?pretty=odd", in("jobs", "there") + "?export=true", in("jobs", "there") + "?%zz", in("jobs", "there") + "?a;b", in("jobs", "there") + "?timeout=0s", in("jobs", "there") + "?timeout=x",
		"/apis/batch", "/apis/batch/", "/apis/batch/v1", "/apis/batch/v1/", "/apis/batch/v1beta1", "/apis/batch/v1beta1/cronjobs", "/apis/batch/v2/jobs", "/apis/batch/V1/jobs", "/apis/batch/v1/../v1/jobs?limit=1",
	} {
		r.get(path)
		r.do(request{path: path, accept: protobufType})
	}
	r.begin("methods")
	for _, method := range []string{http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodTrace, "ODD"} {
		for _, path := range []string{"", "/jobs", in("jobs"), in("jobs", "there"), in("jobs", "there", "status"), in("jobs", "none"), in("cronjobs", "there", "status"), "/watch" + in("jobs")} {
			if method == http.MethodDelete && path != "" && path != in("jobs", "none") {
				continue // it would be understood
			}
			r.do(request{method: method, path: path, body: []byte(`{}`)})
		}
	}
	r.begin("what is accepted")
	for _, accept := range []string{"text/plain", "text/html", "application/xml", "application/cbor", "application/json;q=0", "application/*", "text/*,application/yaml;q=0.5", "application/json;charset=utf-8", "a b", ",", "application/json;stream=watch", "application/json;pretty=1"} {
		for _, path := range []string{"", in("jobs"), in("jobs", "there"), in("jobs", "none"), in("jobs", "there", "scale")} {
			r.do(request{path: path, accept: accept})
		}
		r.do(request{method: http.MethodPatch, path: in("jobs", "there") + "?dryRun=All", contentType: mergePatch, accept: accept, body: []byte(`{}`)})
	}
	r.do(request{path: in("jobs", "there"), header: map[string]string{"User-Agent": "Mozilla/5.0"}})
	r.begin("bodies")
	body := []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"generateName":"body-"},"spec":` + specJSON + `}`)
	for _, contentType := range []string{jsonType, "none", "text/plain", "application/xml", "application/json; charset=utf-8", "application/json;stream=watch", "application/cbor", "*/*", ";", protobufType, mergePatch} {
		r.do(request{method: http.MethodPost, path: in("jobs") + "?dryRun=All", contentType: contentType, body: body})
		r.do(request{method: http.MethodPut, path: in("jobs", "there") + "?dryRun=All", contentType: contentType, body: body})
		r.do(request{method: http.MethodDelete, path: in("jobs", "none"), contentType: contentType, body: []byte(`{}`)})
	}
	for _, bad := range [][]byte{{}, []byte("{"), []byte("[]"), []byte("null"), []byte("1"), []byte(`"x"`), []byte("{}x"), []byte("\xff\xfe"), []byte("k8s\x00"), []byte("k8s\x00\x0a\x01"), []byte(`{"kind":"Job\xff"}`),
		[]byte(strings.Repeat(`{"a":`, 20000)), []byte(strings.Repeat("[", 20000)), append(body, body...), bytes.ReplaceAll(body, []byte(`"kind"`), []byte(`"KIND"`))} {
		for _, contentType := range []string{jsonType, yamlType, protobufType} {
			r.do(request{method: http.MethodPost, path: in("jobs") + "?dryRun=All", contentType: contentType, body: bad})
			r.do(request{method: http.MethodPut, path: in("cronjobs", "none"), contentType: contentType, body: bad})
		}
	}
	r.begin("what is too much")
	r.stored("jobs", "there", r.get(in("jobs", "there")))
	for _, size := range []int{1 << 20, 4 << 20} {
		large := changed(changed(body, "there", "metadata", "name"), strings.Repeat("x", size), "metadata", "annotations", "large")
		r.do(request{method: http.MethodPost, path: in("jobs"), body: large})
		var gated *difference
		if size == 1<<20 {
			gated = refused
		}
		for _, update := range []request{
			{method: http.MethodPut, path: in("jobs", "there"), body: large, differs: gated},
			{method: http.MethodPatch, path: in("jobs", "there"), contentType: strategicPatch, body: large, differs: gated},
		} {
			r.storedAs(gated, "jobs", "there", r.do(update))
		}
		r.do(request{method: http.MethodDelete, path: in("jobs", "none"), body: large})
	}
	r.begin("names")
	for _, name := range []string{strings.Repeat("x", 63), strings.Repeat("x", 64), strings.Repeat("x", 253), strings.Repeat("x", 254), "a.b", "-a", "a_b", "ä"} {
		r.create(name, nil)
		r.createCronJob(namespace, name)
	}
	for _, name := range []string{"body-", strings.Repeat("x", 60) + "-", strings.Repeat("x", 250), "A-", ""} {
		r.create("", name, "metadata", "generateName")
	}
	r.begin("a queried name")
	for _, query := range []string{"fieldValidation=Odd", "fieldManager=" + longText, "fieldManager=%01", "dryRun=Some", "dryRun=All&dryRun=All", "dryRun=", "pretty=true&dryRun=All"} {
		r.do(request{method: http.MethodPost, path: in("jobs") + "?" + query, body: body})
	}
}
