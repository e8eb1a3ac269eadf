package parity

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tally is what the comparison of an area has come to.
type tally struct {
	asked, equal, explained int
	// onlyLinked are how many of those that are explained differ by nothing but the link.
	onlyLinked int
	// documented are how many answers have each difference.
	documented map[*difference]int
}

// compare compares what was seen in a run with what was seen natively. It undoes documented
// differences where there may be some, and reports the others.
func compare(t *testing.T, other *run, documented bool) map[string]*tally {
	t.Helper()
	tallies := map[string]*tally{}
	for i, want := range native.exchanges {
		if i >= len(other.exchanges) || want.String() != other.exchanges[i].String() {
			t.Fatalf("other questions were asked from %s on", want)
		}
		sum := tallies[want.area]
		if sum == nil {
			sum = &tally{documented: map[*difference]int{}}
			tallies[want.area] = sum
		}
		sum.asked++
		got, others := other.exchanges[i], []*difference(nil)
		if documented {
			got.seen, others = undo(t, want, got, sum)
		}
		switch {
		case got.seen != want.seen:
			t.Errorf("%s\n(-native +%s):\n%s", want, other.name, cmp.Diff(lines(want.seen), lines(got.seen)))
		case len(others) > 0:
			sum.explained++
			if len(others) == 1 && others[0] == selfLink {
				sum.onlyLinked++
			}
		default:
			sum.equal++
		}
	}
	return tallies
}

// undo returns what would have been seen without the documented differences, and those that
// there are besides headers that both servers set.
func undo(t *testing.T, want, got exchange, sum *tally) (seen string, others []*difference) {
	t.Helper()
	for _, d := range append(everywhere[:len(everywhere):len(everywhere)], want.request.differs) {
		if d == nil {
			continue
		}
		seen, ok := d.undo(want, got)
		if !ok && d == want.request.differs {
			t.Errorf("%s\nis not %s any more; see differences_test.go:\n%.2000s", want, d.name, got.seen)
		}
		if got.seen = seen; !ok {
			continue
		}
		sum.documented[d]++
		if d != twice {
			others = append(others, d)
		}
	}
	return got.seen, others
}

// lines splits an answer where a person would, for a diff.
func lines(text string) []string {
	return strings.Split(strings.ReplaceAll(text, `,"`, ",\n\""), "\n")
}

func TestKubeAPIServerAnswersTheSameAgain(t *testing.T) { compare(t, rolledBack, false) }

func TestBatchgateAnswersAsKubeAPIServer(t *testing.T) {
	found := map[*difference]int{}
	for _, sum := range compare(t, takenOver, true) {
		for d, n := range sum.documented {
			found[d] += n
		}
	}
	for _, d := range append(everywhere[:len(everywhere):len(everywhere)], marked...) {
		if found[d] == 0 {
			t.Errorf("no answer has the difference %q any more; remove it from differences_test.go", d.name)
		}
	}
}

// TestAnswersThatAreOthersAltogether compares what has no like natively with what is known of it.
func TestAnswersThatAreOthersAltogether(t *testing.T) {
	var seen bytes.Buffer
	for i, e := range takenOver.exchanges {
		if d := e.request.differs; d == nil || !d.another || e.answer == nil && e.unchanged {
			continue
		}
		without := e
		for _, d := range []*difference{twice, packed} {
			without.seen, _ = d.undo(native.exchanges[i], without)
		}
		fmt.Fprintf(&seen, "### %s\n%s\n", e, without.seen)
	}
	golden(t, "testdata/gate.txt", seen.Bytes())
}
