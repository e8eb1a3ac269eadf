package parity

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// difference is one between the servers that is meant.
type difference struct {
	name, reason string
	// undo returns what Batchgate would have answered without the difference, and false where
	// the answers do not have it.
	undo func(native, ours exchange) (seen string, ok bool)
	// another says that it is another answer altogether, which is compared with testdata.
	another bool
}

// What requests are marked with that must be answered differently.
var (
	refused = &difference{
		name:   "refused by the gate",
		reason: "An update may change no other fields than policies grant; 422 names them. kube-apiserver allows some, and refuses others by other words.",
		undo: func(native, ours exchange) (string, bool) {
			if ours.answer == nil {
				return native.seen, ours.unchanged
			}
			return native.seen, ours.answer.code == http.StatusUnprocessableEntity && refusal(ours.answer.body)
		},
		another: true,
	}
	allowed = &difference{
		name:   "allowed by Batchgate only",
		reason: "completions and selector may be updated, which kube-apiserver holds immutable.",
		undo: func(native, ours exchange) (string, bool) {
			if ours.answer == nil {
				return native.seen, native.unchanged && !ours.unchanged
			}
			return native.seen, native.answer.code == http.StatusUnprocessableEntity && ours.answer.code == http.StatusOK
		},
		another: true,
	}
	warned = &difference{
		name:   "warned of what is ignored",
		reason: "An update that sends another creationTimestamp, selfLink or status to a Job than it has is told that this has no effect. kube-apiserver ignores it without a word.",
		undo: func(_, ours exchange) (string, bool) {
			if ours.request.warning == "" {
				return ours.seen, false
			}
			seen := strings.Replace(ours.seen, `Warning: 299 - "`+ours.request.warning+"\"\n", "", 1)
			return seen, seen != ours.seen
		},
	}
	otherUID = &difference{
		name:   "another UID is a conflict",
		reason: "An update that names the UID of another Job is answered with 409, and both UIDs.",
		undo: func(native, ours exchange) (string, bool) {
			if ours.answer == nil {
				return native.seen, ours.unchanged
			}
			return native.seen, ours.answer.code == http.StatusConflict && strings.Contains(string(ours.answer.body), "that of the stored Job is")
		},
		another: true,
	}
)

// otherSelfLink is in what is sent, and by a dry run of kube-apiserver in what is answered.
var otherSelfLink = &difference{
	name:   "another selfLink",
	reason: "An update that sends another selfLink is warned of. kube-apiserver stores no link, but shows it in the answer to a dry run.",
	undo: func(native, ours exchange) (string, bool) {
		seen, ok := warned.undo(native, ours)
		if seen == strings.Replace(native.seen, `"selfLink":"/somewhere/else",`, "", 1) {
			seen = native.seen
		}
		return seen, ok
	},
}

var marked = []*difference{refused, allowed, warned, otherSelfLink, otherUID}

// refusal reports whether a body is a refusal of the gate.
func refusal(body []byte) bool {
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

// selfLink is in each answer about one Job, in whichever form, and not marked.
var selfLink = &difference{
	name:   "metadata.selfLink",
	reason: "The answers about one Job say where it is, as in the API of Huawei Cloud CCE ([what is compatible with it](field-semantics.md#compatibility-with-the-providers-page)), and so do errors that show the Job that a patch would make. Lists, watches and what is stored do not. `--serve-self-link=false` turns it off.",
	undo: func(_, ours exchange) (string, bool) {
		if ours.link == "" {
			return ours.seen, false
		}
		link := ours.link
		seen := regexp.MustCompile(`\\+"selfLink\\+":\\+"`+regexp.QuoteMeta(link)+`\\+",`).ReplaceAllString(ours.seen, "") // in errors
		for form, without := range map[string]string{
			`"selfLink":"` + link + `",`:           "",
			"\n    \"selfLink\": \"" + link + `",`: "",
			"\n  selfLink: " + link + "\n":         "\n",
			"\n      selfLink: " + link + "\n":     "\n",              // in a table
			"\n    4: \"" + link + "\"\n":          "\n    4: \"\"\n", // dumped
		} {
			seen = strings.Replace(seen, form, without, 1)
		}
		return seen, seen != ours.seen
	},
}

// oneJob is the path of a Job, or of the Jobs of a namespace.
var oneJob = regexp.MustCompile(`^/namespaces/([^/?]+)/jobs(?:/([^/?]+)(?:/status)?)?/?(?:\?|$)`)

// link returns where the Job is that a request names, or makes. Lists, requests for collections
// and watches are about no one Job.
func link(req request, a *answer) string {
	found := oneJob.FindStringSubmatch(req.path)
	if found == nil || req.until != "" {
		return ""
	}
	name := found[2]
	if name == "" && req.method == http.MethodPost {
		name = created(req, a)
	}
	if name == "" {
		return ""
	}
	return "/apis/batch/v1/namespaces/" + found[1] + "/jobs/" + name
}

// created returns the name of what a request makes, which the server has chosen where the
// request has none.
func created(req request, a *answer) string {
	if req.contentType == protobufType {
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(req.body, nil, nil)
		if made, ok := object.(metav1.Object); ok && err == nil {
			return made.GetName()
		}
	}
	return or(field(req.body, "metadata", "name"), field(a.body, "metadata", "name"))
}

// twice is about headers, and not marked.
var twice = &difference{
	name:   "a header from each server",
	reason: "kube-apiserver sets Cache-Control and the headers of priority and fairness before it passes a request on, and Batchgate sets them too, to the same. kube-apiserver has none of the latter for paths that end in log or begin with proxy, which Batchgate has not got.",
	undo: func(native, ours exchange) (string, bool) {
		header, body, found := strings.Cut(ours.seen, "\n\n")
		if !found || ours.answer == nil {
			return ours.seen, false
		}
		seen := strings.Join(slices.CompactFunc(strings.Split(header, "\n"), func(a, b string) bool {
			name, _, _ := strings.Cut(a, ":")
			return a == b && slices.Contains(setTwice, name)
		}), "\n") + "\n\n" + body
		if native.answer.header.Get("X-Kubernetes-Pf-Flowschema-Uid") == "" {
			seen = fairness.ReplaceAllString(seen, "")
		}
		return seen, seen != ours.seen
	},
}

var fairness = regexp.MustCompile(`(?m)^X-Kubernetes-Pf-.*\n`)

// packed is about a header of large answers, and not marked.
var packed = &difference{
	name:   "Vary: Accept-Encoding",
	reason: "kube-apiserver asks Batchgate to compress large answers and initial events of watches, and unpacks them for a client that has not asked for that. The header stays.",
	undo: func(native, ours exchange) (string, bool) {
		if native.answer == nil || native.answer.header.Get("Vary") != "" {
			return ours.seen, false
		}
		seen := strings.Replace(ours.seen, "Vary: Accept-Encoding\n", "", 1)
		return seen, seen != ours.seen
	},
}

var setTwice = []string{"Cache-Control", "X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid"}

// everywhere are the differences that are not marked.
var everywhere = []*difference{twice, packed, selfLink}

func TestOnlyTheLinkOfTheJobThatWasAskedForIsADifference(t *testing.T) {
	const linked, path = `"selfLink":"/apis/batch/v1/namespaces/x/jobs/a",`, "/namespaces/x/jobs"
	made := []byte(`{"metadata":{"name":"a"}}`)
	for name, tc := range map[string]struct {
		request    request
		seen, want string
	}{
		"its own":                     {request{path: path + "/a"}, linked, ""},
		"through status, pretty":      {request{path: path + "/a/status?pretty=1"}, "\n    \"selfLink\": \"/apis/batch/v1/namespaces/x/jobs/a\",\n", "\n"},
		"in YAML":                     {request{path: path + "/a"}, "\n  selfLink: /apis/batch/v1/namespaces/x/jobs/a\n", "\n"},
		"in a table in YAML":          {request{path: path + "/a"}, "\n      selfLink: /apis/batch/v1/namespaces/x/jobs/a\n", "\n"},
		"dumped":                      {request{path: path + "/a"}, "\n    4: \"/apis/batch/v1/namespaces/x/jobs/a\"\n", "\n    4: \"\"\n"},
		"twice in an error":           {request{path: path + "/a"}, strings.Repeat(strings.ReplaceAll(linked, `"`, `\"`), 2), ""},
		"twice in an answer":          {request{path: path + "/a"}, linked + linked, linked},
		"of a Job that is made":       {request{method: http.MethodPost, path: path, body: made}, linked, ""},
		"of another that is made":     {request{method: http.MethodPost, path: "/namespaces/y/jobs", body: made}, linked, linked},
		"of another name":             {request{path: path + "/b"}, linked, linked},
		"of another namespace":        {request{path: "/namespaces/y/jobs/a"}, linked, linked},
		"of a CronJob":                {request{path: "/namespaces/x/cronjobs/a"}, linked, linked},
		"in a list":                   {request{path: path}, linked, linked},
		"in a list of all namespaces": {request{path: "/jobs"}, linked, linked},
		"in a deleted collection":     {request{method: http.MethodDelete, path: path + "?limit=1"}, linked, linked},
		"in a watch":                  {request{path: path + "/a", until: "DELETED"}, linked, linked},
	} {
		got, ok := selfLink.undo(exchange{}, exchange{request: tc.request, seen: tc.seen, link: link(tc.request, &answer{})})
		if got != tc.want || ok != (tc.want != tc.seen) {
			t.Errorf("%s: %q becomes %q (%t), want %q", name, tc.seen, got, ok, tc.want)
		}
	}
}

func TestOnlyTheWarningThatIsExpectedIsADifference(t *testing.T) {
	const expected, other = "Warning: 299 - \"status: ignored: really\"\n", "Warning: 299 - \"status: ignored: otherwise\"\n"
	for seen, want := range map[string]string{expected: "", expected + other: other, expected + expected: expected, other: other} {
		got, ok := warned.undo(exchange{}, exchange{request: request{warning: "status: ignored: really"}, seen: seen})
		if got != want || ok != (want != seen) {
			t.Errorf("%q becomes %q (%t), want %q", seen, got, ok, want)
		}
	}
}
