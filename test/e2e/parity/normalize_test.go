// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// normalizer replaces values that vary between recordings with placeholders: UIDs (also within names
// and labels), generated names, revisions, continue tokens and current times. Within a scenario, equal
// UIDs get equal placeholders. Times and durations from the requests stay.
type normalizer struct {
	start         time.Time
	firstRevision int64
	etcdRevision  func() int64 // the current revision
	// latestRevision is the last result of etcdRevision.
	latestRevision int64

	placeholders map[string]string
}

func (n *normalizer) reset() { n.placeholders = map[string]string{} }

// placeholder returns the placeholder of a value and allocates one for a new value.
func (n *normalizer) placeholder(kind, value string) string {
	if n.placeholders[value] == "" {
		n.placeholders[value] = fmt.Sprintf("<%s %d>", kind, len(n.placeholders)+1)
	}
	return n.placeholders[value]
}

// addGeneratedName makes text replace a name that the server generated.
func (n *normalizer) addGeneratedName(name string) {
	if name != "" {
		n.placeholder("name", name)
	}
}

var (
	uids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// Times in JSON and YAML, and in messages.
	times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	// Revisions in JSON, in JSON within strings, in YAML, in queries and in error messages.
	revisions       = regexp.MustCompile(`(resourceVersion[^0-9A-Za-z]{1,9}|resource version: ?|current: )\d+|\(\d+\)`)
	tokens          = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{20,}`)
	revisionInToken = regexp.MustCompile(`"rv":\d+`)
	digits          = regexp.MustCompile(`\d+`)
	ages            = regexp.MustCompile(`"\d+[ms](\d+s)?"|(?m:^ +- \d+[ms](\d+s)?$)`)
	// A number on a line of dump: seconds since the epoch, or a revision.
	dumpedNumber = regexp.MustCompile(`(?m)^( *\d+: )("?)(\d{3,})("?)$`)
)

// text normalizes JSON, YAML and headers.
func (n *normalizer) text(text string) string {
	text = tokens.ReplaceAllStringFunc(text, n.decodeToken)
	for value, placeholder := range n.placeholders {
		if strings.HasPrefix(placeholder, "<name") {
			text = strings.ReplaceAll(text, value, placeholder)
		}
	}
	text = uids.ReplaceAllStringFunc(text, func(uid string) string { return n.placeholder("uid", uid) })
	text = times.ReplaceAllStringFunc(text, n.time)
	return revisions.ReplaceAllStringFunc(text, func(found string) string {
		number := digits.FindString(found)
		if revision, err := strconv.ParseInt(number, 10, 64); err != nil || !n.isRunRevision(revision) {
			return found
		}
		return strings.Replace(found, number, "<revision>", 1)
	})
}

// table normalizes a Table. It replaces ages that are shorter than the test has run.
func (n *normalizer) table(text string) string {
	return ages.ReplaceAllStringFunc(n.text(text), func(quoted string) string {
		text := strings.Trim(quoted, `" -`)
		age, err := time.ParseDuration(text)
		if err != nil || age > time.Since(n.start)+time.Minute {
			return quoted
		}
		return strings.Replace(quoted, text, "<age>", 1)
	})
}

// dump normalizes the output of the function dump.
func (n *normalizer) dump(text string) string {
	return dumpedNumber.ReplaceAllStringFunc(n.text(text), func(line string) string {
		parts := dumpedNumber.FindStringSubmatch(line)
		number, err := strconv.ParseInt(parts[3], 10, 64)
		switch {
		case err != nil:
			return line
		case parts[2] != "" && n.isRunRevision(number):
			return parts[1] + `"<revision>"`
		case parts[2] == "" && n.isRunTime(time.Unix(number, 0)):
			return parts[1] + "<time>"
		}
		return line
	})
}

// isRunRevision reports whether etcd has reached this revision since startTime.
func (n *normalizer) isRunRevision(number int64) bool {
	if number > n.latestRevision {
		n.latestRevision = n.etcdRevision()
	}
	return number >= n.firstRevision && number <= n.latestRevision
}

func (n *normalizer) isRunTime(t time.Time) bool {
	return t.After(n.start.Add(-time.Minute)) && t.Before(time.Now().Add(time.Minute))
}

func (n *normalizer) time(text string) string {
	if t, err := time.Parse(time.RFC3339, text); err == nil && n.isRunTime(t) {
		return "<time>"
	}
	return text
}

// decodeToken returns the normalized content of a continue token.
func (n *normalizer) decodeToken(token string) string {
	content, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return token
	}
	return "<token " + revisionInToken.ReplaceAllString(string(content), `"rv":<revision>`) + ">"
}

func TestNormalizerReplacesOnlyRunValues(t *testing.T) {
	n := &normalizer{start: time.Now(), firstRevision: 1000, etcdRevision: func() int64 { return 1300 }}
	n.reset()
	n.addGeneratedName("pi-x7k2p")
	now := time.Now().UTC()
	const a, b = "0e9d8f3c-0000-4000-8000-000000000001", "0e9d8f3c-0000-4000-8000-000000000002"
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"v":"meta.k8s.io/v1","rv":1200,"start":"a"}`))
	for _, tc := range []struct {
		replace    func(string) string
		text, want string
	}{
		{n.text, a + b + a, "<uid 2><uid 3><uid 2>"},
		{n.text, `"name":"pi-x7k2p"`, `"name":"<name 1>"`},
		{n.text, `"` + now.Format(time.RFC3339) + `"`, `"<time>"`},
		{n.text, `"2004-01-01T01:01:01Z"`, `"2004-01-01T01:01:01Z"`},
		{n.text, `"resourceVersion":"1234","x":"1234"`, `"resourceVersion":"<revision>","x":"1234"`},
		{n.text, `"resourceVersion": "7"`, `"resourceVersion": "7"`},
		{n.text, `"resourceVersion":"1301"`, `"resourceVersion":"1301"`},
		{n.text, `"{\\\"resourceVersion\\\":\\\"1234\\\"}"`, `"{\\\"resourceVersion\\\":\\\"<revision>\\\"}"`},
		{n.text, "too old resource version: 1 (1234)", "too old resource version: 1 (<revision>)"},
		{n.text, token, `<token {"v":"meta.k8s.io/v1","rv":<revision>,"start":"a"}>`},
		{n.text, `"12s"`, `"12s"`},
		{n.table, `"12s","5h","22y"`, `"<age>","5h","22y"`},
		{n.table, "  - 12s\n  - 5h\n", "  - <age>\n  - 5h\n"},
		{n.dump, fmt.Sprintf("0: \"1301\"\n1: \"1234\"\n  2: %d\n3: 5000\n4: \"7\"\n", now.Unix()), "0: \"1301\"\n1: \"<revision>\"\n  2: <time>\n3: 5000\n4: \"7\"\n"},
	} {
		if got := tc.replace(tc.text); got != tc.want {
			t.Errorf("normalized %s: got %s, want %s", tc.text, got, tc.want)
		}
	}
}
