// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"bytes"
	"net/http"
	"strings"
)

// sendMalformedRequests sends requests with unknown paths, unsupported methods, media types and bodies, and
// invalid names.
func sendMalformedRequests(r *recording) {
	r.startScenario("paths")
	r.createJob("there", nil)
	for _, path := range []string{
		"", "/", "//", "/jobs/", "/jobs/there", "/job", "/cronjobs/", "/pods", "/namespaces", "/namespaces/", "/namespaces/" + namespace, resourcePath("pods"), resourcePath("jobs") + "/", resourcePath("jobs", "there", ""), resourcePath("jobs", "none"),
		resourcePath("jobs", "there", "scale"), resourcePath("jobs", "there", "status", "x"), resourcePath("jobs", "there", "log"), resourcePath("cronjobs", "there", "scale"), resourcePath("jobs", "There"), resourcePath("jobs", "th%2Fere"), resourcePath("jobs", "th%20ere"), resourcePath("jobs", "%00"), resourcePath("jobs", ".."), resourcePath("jobs", "%2e%2e"),
		"/namespaces//jobs", "/namespaces/none/jobs", "/namespaces/none/jobs/there", "/namespaces/%20/jobs", resourcePath("jobs", strings.Repeat("x", 300)), "/proxy" + resourcePath("jobs", "there"), "/watch", "/watch/", "/watch/jobs/there",
		resourcePath("jobs", "there") + "?pretty=1", resourcePath("jobs", "there") + "?pretty=false", resourcePath("jobs", "there") + "?pretty=odd", resourcePath("jobs", "there") + "?export=true", resourcePath("jobs", "there") + "?%zz", resourcePath("jobs", "there") + "?a;b", resourcePath("jobs", "there") + "?timeout=0s", resourcePath("jobs", "there") + "?timeout=x",
		"/apis/batch", "/apis/batch/", "/apis/batch/v1", "/apis/batch/v1/", "/apis/batch/v1beta1", "/apis/batch/v1beta1/cronjobs", "/apis/batch/v2/jobs", "/apis/batch/V1/jobs", "/apis/batch/v1/../v1/jobs?limit=1",
	} {
		r.get(path)
		r.do(request{path: path, accept: protobufType})
	}
	r.startScenario("methods")
	for _, method := range []string{http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodTrace, "ODD"} {
		for _, path := range []string{"", "/jobs", resourcePath("jobs"), resourcePath("jobs", "there"), resourcePath("jobs", "there", "status"), resourcePath("jobs", "none"), resourcePath("cronjobs", "there", "status"), "/watch" + resourcePath("jobs")} {
			if method == http.MethodDelete && path != "" && path != resourcePath("jobs", "none") {
				continue // a valid request
			}
			r.do(request{method: method, path: path, body: []byte(`{}`)})
		}
	}
	r.startScenario("accepted media types")
	for _, accept := range []string{"text/plain", "text/html", "application/xml", "application/cbor", "application/json;q=0", "application/*", "text/*,application/yaml;q=0.5", "application/json;charset=utf-8", "a b", ",", "application/json;stream=watch", "application/json;pretty=1"} {
		for _, path := range []string{"", resourcePath("jobs"), resourcePath("jobs", "there"), resourcePath("jobs", "none"), resourcePath("jobs", "there", "scale")} {
			r.do(request{path: path, accept: accept})
		}
		r.do(request{method: http.MethodPatch, path: resourcePath("jobs", "there") + "?dryRun=All", contentType: mergePatch, accept: accept, body: []byte(`{}`)})
	}
	r.do(request{path: resourcePath("jobs", "there"), header: map[string]string{"User-Agent": "Mozilla/5.0"}})
	r.startScenario("bodies")
	body := []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"generateName":"body-"},"spec":` + specJSON + `}`)
	for _, contentType := range []string{jsonType, "none", "text/plain", "application/xml", "application/json; charset=utf-8", "application/json;stream=watch", "application/cbor", "*/*", ";", protobufType, mergePatch} {
		r.do(request{method: http.MethodPost, path: resourcePath("jobs") + "?dryRun=All", contentType: contentType, body: body})
		r.do(request{method: http.MethodPut, path: resourcePath("jobs", "there") + "?dryRun=All", contentType: contentType, body: body})
		r.do(request{method: http.MethodDelete, path: resourcePath("jobs", "none"), contentType: contentType, body: []byte(`{}`)})
	}
	for _, bad := range [][]byte{{}, []byte("{"), []byte("[]"), []byte("null"), []byte("1"), []byte(`"x"`), []byte("{}x"), []byte("\xff\xfe"), []byte("k8s\x00"), []byte("k8s\x00\x0a\x01"), []byte(`{"kind":"Job\xff"}`),
		[]byte(strings.Repeat(`{"a":`, 20000)), []byte(strings.Repeat("[", 20000)), append(body, body...), bytes.ReplaceAll(body, []byte(`"kind"`), []byte(`"KIND"`))} {
		for _, contentType := range []string{jsonType, yamlType, protobufType} {
			r.do(request{method: http.MethodPost, path: resourcePath("jobs") + "?dryRun=All", contentType: contentType, body: bad})
			r.do(request{method: http.MethodPut, path: resourcePath("cronjobs", "none"), contentType: contentType, body: bad})
		}
	}
	r.startScenario("large objects")
	r.recordStored("jobs", "there", r.get(resourcePath("jobs", "there")))
	for _, size := range []int{1 << 20, 4 << 20} {
		large := withField(withField(body, "there", "metadata", "name"), strings.Repeat("x", size), "metadata", "annotations", "large")
		r.do(request{method: http.MethodPost, path: resourcePath("jobs"), body: large})
		// Both servers reject the larger body before they decide on the update.
		var diff *difference
		if size == 1<<20 {
			diff = deniedByGate
		}
		for _, update := range []request{
			{method: http.MethodPut, path: resourcePath("jobs", "there"), body: large, difference: diff},
			{method: http.MethodPatch, path: resourcePath("jobs", "there"), contentType: strategicPatch, body: large, difference: diff},
		} {
			r.recordStoredDifference(diff, "jobs", "there", r.do(update))
		}
		r.do(request{method: http.MethodDelete, path: resourcePath("jobs", "none"), body: large})
	}
	r.startScenario("names")
	for _, name := range []string{strings.Repeat("x", 63), strings.Repeat("x", 64), strings.Repeat("x", 253), strings.Repeat("x", 254), "a.b", "-a", "a_b", "ä"} {
		r.createJob(name, nil)
		r.createCronJob(namespace, name)
	}
	for _, name := range []string{"body-", strings.Repeat("x", 60) + "-", strings.Repeat("x", 250), "A-", ""} {
		r.createJob("", name, "metadata", "generateName")
	}
	r.startScenario("query parameters")
	for _, query := range []string{"fieldValidation=Odd", "fieldManager=" + longFieldManager, "fieldManager=%01", "dryRun=Some", "dryRun=All&dryRun=All", "dryRun=", "pretty=true&dryRun=All"} {
		r.do(request{method: http.MethodPost, path: resourcePath("jobs") + "?" + query, body: body})
	}
}
