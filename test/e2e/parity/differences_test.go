// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"cmp"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/batchgate/batchgate/test/framework"
)

// difference is an intended difference between the two servers.
type difference struct {
	name, reason string
	// undo returns Batchgate's text without the difference. ok is false if the exchanges do not have it.
	undo func(native, batchgate exchange) (text string, ok bool)
	// wholeResponse is set if the responses have nothing in common. TestGatedResponsesMatchGolden
	// compares Batchgate's with testdata/gate.txt.
	wholeResponse bool
}

// These differences occur only in responses to requests that name them in request.difference.
var (
	deniedByGate = &difference{
		name:   "denied by the gate",
		reason: "An update may change only the updatable fields and the fields that policies grant. The 422 response names all other changed fields. kube-apiserver allows some of these changes and rejects others with a different message.",
		undo: func(native, batchgate exchange) (string, bool) {
			if batchgate.response == nil {
				return native.text, batchgate.unchanged
			}
			return native.text, batchgate.response.code == http.StatusUnprocessableEntity && isDenial(batchgate.response.body)
		},
		wholeResponse: true,
	}
	allowedByGate = &difference{
		name:   "allowed by Batchgate only",
		reason: "`spec.completions` and `spec.selector` are updatable. In kube-apiserver, `selector` is immutable, and `completions` can only change for an Indexed Job, together with `parallelism`.",
		undo: func(native, batchgate exchange) (string, bool) {
			if batchgate.response == nil {
				return native.text, native.unchanged && !batchgate.unchanged
			}
			return native.text, native.response.code == http.StatusUnprocessableEntity && batchgate.response.code == http.StatusOK
		},
		wholeResponse: true,
	}
	ignoredFieldWarning = &difference{
		name:   "warning about an ignored field",
		reason: "An update that changes creationTimestamp, selfLink or (on the main resource) status gets a warning that the change has no effect. kube-apiserver ignores it silently.",
		undo: func(_, batchgate exchange) (string, bool) {
			if batchgate.request.warning == "" {
				return batchgate.text, false
			}
			text := strings.Replace(batchgate.text, `Warning: 299 - "`+batchgate.request.warning+"\"\n", "", 1)
			return text, text != batchgate.text
		},
	}
	uidConflict = &difference{
		name:   "UID mismatch is a conflict",
		reason: "An update with the UID of another Job gets 409 and both UIDs. kube-apiserver rejects it with 422.",
		undo: func(native, batchgate exchange) (string, bool) {
			if batchgate.response == nil {
				return native.text, batchgate.unchanged
			}
			return native.text, batchgate.response.code == http.StatusConflict && strings.Contains(string(batchgate.response.body), "but the UID of the stored Job is")
		},
		wholeResponse: true,
	}
)

// selfLinkUpdate applies to updates that change the selfLink. kube-apiserver returns the changed one from a
// dry run, but does not store it.
var selfLinkUpdate = &difference{
	name:   "selfLink update",
	reason: "An update that changes selfLink gets a warning. kube-apiserver does not store the selfLink, but returns it from a dry run.",
	undo: func(native, batchgate exchange) (string, bool) {
		text, ok := ignoredFieldWarning.undo(native, batchgate)
		if text == strings.Replace(native.text, `"selfLink":"/somewhere/else",`, "", 1) {
			text = native.text
		}
		return text, ok
	},
}

var expectedDifferences = []*difference{deniedByGate, allowedByGate, ignoredFieldWarning, selfLinkUpdate, uidConflict}

// isDenial reports whether the body is a Status whose causes are all denials by the gate.
func isDenial(body []byte) bool {
	var status metav1.Status
	if json.Unmarshal(body, &status) != nil || status.Details == nil || len(status.Details.Causes) == 0 {
		return false
	}
	for _, cause := range status.Details.Causes {
		if cause.Type != metav1.CauseTypeForbidden || !strings.Contains(cause.Message, "may not be updated") {
			return false
		}
	}
	return true
}

// otherMessages occurs with older control planes only. Batchgate decodes and validates with the code of its
// own release, as a kube-apiserver of that release does that emulates the older one.
var otherMessages = &difference{
	name:   "error messages of another release",
	reason: "Both servers reject the request with the same code, 400 or 422. The releases differ in how often, in which order and with which path and message they report an invalid value.",
	undo: func(native, batchgate exchange) (string, bool) {
		if native.response == nil || native.response.code != batchgate.response.code || isDenial(batchgate.response.body) {
			return batchgate.text, false
		}
		invalid := native.response.code == http.StatusUnprocessableEntity || native.response.code == http.StatusBadRequest
		if !invalid || native.text == batchgate.text {
			return batchgate.text, false
		}
		return native.text, true
	},
}

func init() {
	if os.Getenv(framework.KubernetesVariable) != "" {
		commonDifferences = append(commonDifferences, otherMessages)
	}
}

// selfLinkAdded applies to all responses about a single Job, in all formats.
var selfLinkAdded = &difference{
	name:   "metadata.selfLink",
	reason: "Responses about a single Job contain its selfLink, as in the Huawei Cloud CCE API ([compatibility](../reference/cce-api.md)). Errors that quote the patched Job contain it too. Lists, watches and stored objects do not. `--serve-self-link=false` turns it off.",
	undo: func(_, batchgate exchange) (string, bool) {
		if batchgate.selfLink == "" {
			return batchgate.text, false
		}
		link := batchgate.selfLink
		text := regexp.MustCompile(`\\+"selfLink\\+":\\+"`+regexp.QuoteMeta(link)+`\\+",`).ReplaceAllString(batchgate.text, "") // quoted in errors
		for form, without := range map[string]string{
			`"selfLink":"` + link + `",`:           "",
			"\n    \"selfLink\": \"" + link + `",`: "",
			"\n  selfLink: " + link + "\n":         "\n",
			"\n      selfLink: " + link + "\n":     "\n",              // in a table
			"\n    4: \"" + link + "\"\n":          "\n    4: \"\"\n", // in a protobuf dump
		} {
			text = strings.Replace(text, form, without, 1)
		}
		return text, text != batchgate.text
	},
}

// jobPath matches the path of a Job, of its status, and of all Jobs in a namespace.
var jobPath = regexp.MustCompile(`^/namespaces/([^/?]+)/jobs(?:/([^/?]+)(?:/status)?)?/?(?:\?|$)`)

// expectedSelfLink returns the path of the Job that a request reads or writes. It is empty for lists,
// watches and requests for collections.
func expectedSelfLink(req request, resp *response) string {
	found := jobPath.FindStringSubmatch(req.path)
	if found == nil || req.until != "" {
		return ""
	}
	name := found[2]
	if name == "" && req.method == http.MethodPost {
		name = createdName(req, resp)
	}
	if name == "" {
		return ""
	}
	return "/apis/batch/v1/namespaces/" + found[1] + "/jobs/" + name
}

// createdName returns the name of the object that a request creates, which may be generated.
func createdName(req request, resp *response) string {
	if req.contentType == protobufType {
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(req.body, nil, nil)
		if object, ok := object.(metav1.Object); ok && err == nil {
			return object.GetName()
		}
	}
	return cmp.Or(fieldText(req.body, "metadata", "name"), fieldText(resp.body, "metadata", "name"))
}

// duplicateHeaders applies to proxied requests.
var duplicateHeaders = &difference{
	name:   "header from each server",
	reason: "kube-apiserver sets Cache-Control and the priority and fairness headers before it proxies a request. Batchgate sets the same headers again. kube-apiserver exempts the subresource log and the verb proxy from priority and fairness, so for these it sets no such headers, but Batchgate does.",
	undo: func(native, batchgate exchange) (string, bool) {
		header, body, found := strings.Cut(batchgate.text, "\n\n")
		if !found || batchgate.response == nil {
			return batchgate.text, false
		}
		text := strings.Join(slices.CompactFunc(strings.Split(header, "\n"), func(a, b string) bool {
			name, _, _ := strings.Cut(a, ":")
			return a == b && slices.Contains(duplicatedHeaders, name)
		}), "\n") + "\n\n" + body
		if native.response.header.Get("X-Kubernetes-Pf-Flowschema-Uid") == "" {
			text = fairnessHeaders.ReplaceAllString(text, "")
		}
		return text, text != batchgate.text
	},
}

var fairnessHeaders = regexp.MustCompile(`(?m)^X-Kubernetes-Pf-.*\n`)

// varyHeader applies to large responses.
var varyHeader = &difference{
	name:   "Vary: Accept-Encoding",
	reason: "kube-apiserver asks Batchgate to compress large responses and the initial events of watches. It decompresses them for clients that do not accept gzip, but keeps the header.",
	undo: func(native, batchgate exchange) (string, bool) {
		if native.response == nil || native.response.header.Get("Vary") != "" {
			return batchgate.text, false
		}
		text := strings.Replace(batchgate.text, "Vary: Accept-Encoding\n", "", 1)
		return text, text != batchgate.text
	},
}

var duplicatedHeaders = []string{"Cache-Control", "X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid"}

// commonDifferences may occur in all responses. Requests do not name them.
var commonDifferences = []*difference{duplicateHeaders, varyHeader, selfLinkAdded}

func TestSelfLinkUndoneForRequestedJobOnly(t *testing.T) {
	const linked, path = `"selfLink":"/apis/batch/v1/namespaces/x/jobs/a",`, "/namespaces/x/jobs"
	created := []byte(`{"metadata":{"name":"a"}}`)
	for name, tc := range map[string]struct {
		request    request
		text, want string
	}{
		"requested Job":                  {request{path: path + "/a"}, linked, ""},
		"status, pretty-printed":         {request{path: path + "/a/status?pretty=1"}, "\n    \"selfLink\": \"/apis/batch/v1/namespaces/x/jobs/a\",\n", "\n"},
		"YAML":                           {request{path: path + "/a"}, "\n  selfLink: /apis/batch/v1/namespaces/x/jobs/a\n", "\n"},
		"YAML table":                     {request{path: path + "/a"}, "\n      selfLink: /apis/batch/v1/namespaces/x/jobs/a\n", "\n"},
		"protobuf dump":                  {request{path: path + "/a"}, "\n    4: \"/apis/batch/v1/namespaces/x/jobs/a\"\n", "\n    4: \"\"\n"},
		"twice in error message":         {request{path: path + "/a"}, strings.Repeat(strings.ReplaceAll(linked, `"`, `\"`), 2), ""},
		"twice in object":                {request{path: path + "/a"}, linked + linked, linked},
		"created Job":                    {request{method: http.MethodPost, path: path, body: created}, linked, ""},
		"Job created in other namespace": {request{method: http.MethodPost, path: "/namespaces/y/jobs", body: created}, linked, linked},
		"other name":                     {request{path: path + "/b"}, linked, linked},
		"other namespace":                {request{path: "/namespaces/y/jobs/a"}, linked, linked},
		"CronJob":                        {request{path: "/namespaces/x/cronjobs/a"}, linked, linked},
		"list":                           {request{path: path}, linked, linked},
		"list of all namespaces":         {request{path: "/jobs"}, linked, linked},
		"deleted collection":             {request{method: http.MethodDelete, path: path + "?limit=1"}, linked, linked},
		"watch":                          {request{path: path + "/a", until: "DELETED"}, linked, linked},
	} {
		got, ok := selfLinkAdded.undo(exchange{}, exchange{request: tc.request, text: tc.text, selfLink: expectedSelfLink(tc.request, &response{})})
		if got != tc.want || ok != (tc.want != tc.text) {
			t.Errorf("%s: undo(%q) = %q, %t, want %q", name, tc.text, got, ok, tc.want)
		}
	}
}

func TestOnlyExpectedWarningUndone(t *testing.T) {
	const expected, other = "Warning: 299 - \"status: ignored: really\"\n", "Warning: 299 - \"status: ignored: otherwise\"\n"
	for text, want := range map[string]string{expected: "", expected + other: other, expected + expected: expected, other: other} {
		got, ok := ignoredFieldWarning.undo(exchange{}, exchange{request: request{warning: "status: ignored: really"}, text: text})
		if got != want || ok != (want != text) {
			t.Errorf("undo(%q) = %q, %t, want %q", text, got, ok, want)
		}
	}
}
