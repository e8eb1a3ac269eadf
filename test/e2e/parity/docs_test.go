package parity

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const docs = "../../../docs/surface.md"

const introduction = `# What clients are answered, natively and by Batchgate

One control plane is asked the same three times: while kube-apiserver serves batch/v1, after a takeover, and after the rollback.
No controller runs meanwhile. The status, the headers and the body of each answer, in JSON, YAML and protobuf, and the bytes in etcd are
compared byte for byte. What two runs must differ in is replaced by placeholders: UIDs, revisions, times of the run, ages, generated names.
That native and native again agree shows that no more is in the way. An answer of Batchgate that differs otherwise than listed here fails the
test, and so does a difference that is listed and does not occur.

Not compared are the headers Audit-Id, Content-Length, Date and Last-Modified, and answers that depend on chance: conflicts of apply where several
managers own a field, which upstream lists in any order. The answer 429 is not provoked.

This file is written by the test: ` + "`UPDATE_GOLDEN=1 make test-surface`" + `.

`

// table returns the page.
func table(tallies map[string]*tally) []byte {
	var page bytes.Buffer
	page.WriteString(introduction)
	page.WriteString("## What was asked\n\n| about | questions | the same, but for headers of both servers | with another difference |\n| --- | --- | --- | --- |\n")
	sum := tally{documented: map[*difference]int{}}
	for _, area := range areas {
		t := cmp.Or(tallies[area.name], &tally{})
		fmt.Fprintf(&page, "| %s | %d | %d | %d |\n", area.name, t.asked, t.equal, t.explained)
		sum.asked, sum.equal, sum.explained, sum.onlyLinked = sum.asked+t.asked, sum.equal+t.equal, sum.explained+t.explained, sum.onlyLinked+t.onlyLinked
		for d, n := range t.documented {
			sum.documented[d] += n
		}
	}
	fmt.Fprintf(&page, "| all | %d | %d | %d |\n", sum.asked, sum.equal, sum.explained)
	page.WriteString("\n## The differences\n\n")
	fmt.Fprintf(&page, "Of the %d answers, what etcd holds among them, %d have another difference than headers of both servers. %d of them have a\n", sum.asked, sum.explained, sum.documented[selfLink])
	fmt.Fprintf(&page, "metadata.selfLink, and %d of these no other difference. An answer with several differences counts for each of them.\n\n", sum.onlyLinked)
	page.WriteString("| difference | answers | why |\n| --- | --- | --- |\n")
	for _, d := range append(everywhere[:len(everywhere):len(everywhere)], marked...) {
		fmt.Fprintf(&page, "| %s | %d | %s |\n", d.name, sum.documented[d], d.reason)
	}
	page.WriteString("\n## Updates that are answered differently\n\nEach was sent to a Job of its own.\n\n| change | kube-apiserver | Batchgate |\n| --- | --- | --- |\n")
	for i, e := range native.exchanges {
		if e.request.what != "" {
			theirs, ours := e.answer, takenOver.exchanges[i].answer
			said := verdict(ours)
			if said == verdict(theirs) && field(ours.body, "message") != field(theirs.body, "message") {
				said += ", with another message"
			}
			fmt.Fprintf(&page, "| %s | %s | %s |\n", e.request.what, verdict(theirs), said)
		}
	}
	return page.Bytes()
}

// verdict says in short what an answer says.
func verdict(a *answer) string {
	said := fmt.Sprint(a.code)
	if warning := a.header.Get("Warning"); warning != "" {
		said += ", with a warning"
	}
	var status metav1.Status
	if json.Unmarshal(a.body, &status) != nil || status.Details == nil {
		return said
	}
	seen := map[string]bool{}
	for _, cause := range status.Details.Causes {
		seen["`"+cause.Field+"`: "+strings.ToLower(string(cause.Type))] = true
	}
	for _, cause := range status.Details.Causes {
		if why := "`" + cause.Field + "`"; seen[why+": "+strings.ToLower(string(cause.Type))] {
			said += ", " + why
			delete(seen, why+": "+strings.ToLower(string(cause.Type)))
		}
	}
	return said
}

func TestTheDocsHaveTheTableOfThisRun(t *testing.T) {
	golden(t, docs, table(compare(t, takenOver, true)))
}

// golden compares what was seen with a file, or writes it there.
func golden(t *testing.T, file string, seen []byte) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, seen, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(lines(string(content)), lines(string(seen))); diff != "" {
		t.Errorf("%s is not what was seen (-file +seen):\n%s\nif that is meant, run: UPDATE_GOLDEN=1 make test-surface", file, diff)
	}
}
