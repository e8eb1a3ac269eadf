package surface

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
			seen := ignored.ReplaceAllString(ours.seen, "")
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

var ignored = regexp.MustCompile(`(?m)^Warning: 299 - "[a-zA-Z.]+: ignored: .*\n`)

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
	reason: "The answers about one Job say where it is, as the provider's API does, and so do errors that show the Job that a patch would make. Lists, watches and what is stored do not.",
	undo: func(_, ours exchange) (string, bool) {
		if ours.answer == nil || ours.request.until != "" {
			return ours.seen, false
		}
		seen := linked.ReplaceAllString(ours.seen, "")
		seen = linkedInProtobuf.ReplaceAllString(seen, `$1""`)
		return seen, seen != ours.seen
	},
}

// The link in JSON, pretty JSON and YAML, and in a dump.
var (
	linked           = regexp.MustCompile(`\\*"selfLink\\*":\\*"/apis/batch/v1/namespaces/[^"/]+/jobs/[^"/]+",|(?m:^ *("selfLink": "/apis/batch/v1/namespaces/[^"/]+/jobs/[^"/]+",|selfLink: /apis/batch/v1/namespaces/[^/\n]+/jobs/[^/\n]+)\n)`)
	linkedInProtobuf = regexp.MustCompile(`(?m)^( *4: )"/apis/batch/v1/namespaces/[^"/]+/jobs/[^"/]+"$`)
)

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
