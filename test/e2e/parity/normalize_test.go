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

// normalizer replaces what two runs must differ in: UIDs, and names and labels with them,
// generated names, revisions, the tokens of lists, and times of the run. The same UID is the
// same placeholder in all of a scenario; times and durations that are not of the run stay.
type normalizer struct {
	began         time.Time
	firstRevision int64
	// revision returns the one that etcd has come to, and latest is what it said last.
	revision func() int64
	latest   int64

	placeholders map[string]string
}

func (n *normalizer) reset() { n.placeholders = map[string]string{} }

// placeholder returns what stands for a value.
func (n *normalizer) placeholder(kind, value string) string {
	if n.placeholders[value] == "" {
		n.placeholders[value] = fmt.Sprintf("<%s %d>", kind, len(n.placeholders)+1)
	}
	return n.placeholders[value]
}

// generated makes a name that the server has chosen one to be replaced.
func (n *normalizer) generated(name string) {
	if name != "" {
		n.placeholder("name", name)
	}
}

var (
	uids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// Times in JSON and YAML, and in messages.
	times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	// Revisions in JSON, also within text, in YAML, in queries, and where an error names them.
	revisions = regexp.MustCompile(`(resourceVersion[^0-9A-Za-z]{1,9}|resource version: ?|current: )\d+|\(\d+\)`)
	tokens    = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{20,}`)
	inTokens  = regexp.MustCompile(`"rv":\d+`)
	digits    = regexp.MustCompile(`\d+`)
	ages      = regexp.MustCompile(`"\d+[ms](\d+s)?"|(?m:^ +- \d+[ms](\d+s)?$)`)
	// Numbers of a line of dump: seconds, and revisions.
	dumped = regexp.MustCompile(`(?m)^( *\d+: )("?)(\d{3,})("?)$`)
)

// text replaces in JSON, YAML and headers.
func (n *normalizer) text(text string) string {
	text = tokens.ReplaceAllStringFunc(text, n.token)
	for value, placeholder := range n.placeholders {
		if strings.HasPrefix(placeholder, "<name") {
			text = strings.ReplaceAll(text, value, placeholder)
		}
	}
	text = uids.ReplaceAllStringFunc(text, func(uid string) string { return n.placeholder("uid", uid) })
	text = times.ReplaceAllStringFunc(text, n.time)
	return revisions.ReplaceAllStringFunc(text, func(found string) string {
		number := digits.FindString(found)
		if revision, err := strconv.ParseInt(number, 10, 64); err != nil || !n.isRevision(revision) {
			return found
		}
		return strings.Replace(found, number, "<revision>", 1)
	})
}

// table replaces the ages of objects of the run.
func (n *normalizer) table(text string) string {
	return ages.ReplaceAllStringFunc(n.text(text), func(quoted string) string {
		text := strings.Trim(quoted, `" -`)
		age, err := time.ParseDuration(text)
		if err != nil || age > time.Since(n.began)+time.Minute {
			return quoted
		}
		return strings.Replace(quoted, text, "<age>", 1)
	})
}

// dump replaces in what dump has written.
func (n *normalizer) dump(text string) string {
	return dumped.ReplaceAllStringFunc(n.text(text), func(line string) string {
		parts := dumped.FindStringSubmatch(line)
		number, err := strconv.ParseInt(parts[3], 10, 64)
		switch {
		case err != nil:
			return line
		case parts[2] != "" && n.isRevision(number):
			return parts[1] + `"<revision>"`
		case parts[2] == "" && n.isNow(time.Unix(number, 0)):
			return parts[1] + "<time>"
		}
		return line
	})
}

// isRevision reports whether etcd can have come to it in this run.
func (n *normalizer) isRevision(number int64) bool {
	if number > n.latest {
		n.latest = n.revision()
	}
	return number >= n.firstRevision && number <= n.latest
}

func (n *normalizer) isNow(t time.Time) bool {
	return t.After(n.began.Add(-time.Minute)) && t.Before(time.Now().Add(time.Minute))
}

func (n *normalizer) time(text string) string {
	if t, err := time.Parse(time.RFC3339, text); err == nil && n.isNow(t) {
		return "<time>"
	}
	return text
}

// token returns the content of a list's token.
func (n *normalizer) token(token string) string {
	content, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return token
	}
	return "<token " + inTokens.ReplaceAllString(string(content), `"rv":<revision>`) + ">"
}

func TestOnlyWhatBelongsToARunIsReplaced(t *testing.T) {
	n := &normalizer{began: time.Now(), firstRevision: 1000, revision: func() int64 { return 1300 }}
	n.reset()
	n.generated("pi-x7k2p")
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
			t.Errorf("%s becomes %s, want %s", tc.text, got, tc.want)
		}
	}
}
