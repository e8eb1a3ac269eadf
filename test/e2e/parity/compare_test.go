// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

// tally counts the responses of an area.
type tally struct {
	total, equal, different int
	// onlySelfLink counts the different responses that differ in nothing but the selfLink.
	onlySelfLink int
	// byDifference counts the responses with each difference.
	byDifference map[*difference]int
}

// compare compares a recording with the native one and returns the tally of each area. If
// allowDifferences is set, it accepts the listed differences. Everything else is a problem.
func compare(other *recording, allowDifferences bool) (tallies map[string]*tally, problems []string) {
	tallies = map[string]*tally{}
	for i, want := range native.exchanges {
		if i >= len(other.exchanges) || want.String() != other.exchanges[i].String() {
			return tallies, append(problems, fmt.Sprintf("%s: the requests differ from %s on", other.name, want))
		}
		sum := tallies[want.area]
		if sum == nil {
			sum = &tally{byDifference: map[*difference]int{}}
			tallies[want.area] = sum
		}
		sum.total++
		got, found := other.exchanges[i], []*difference(nil)
		if allowDifferences {
			var missing []string
			got.text, found, missing = undoDifferences(want, got)
			problems = append(problems, missing...)
		}
		for _, d := range found {
			sum.byDifference[d]++
		}
		found = slices.DeleteFunc(found, func(d *difference) bool { return d == duplicateHeaders })
		switch {
		case got.text != want.text:
			problems = append(problems, fmt.Sprintf("%s\n(-native +%s):\n%s", want, other.name, framework.DiffLines(want.text, got.text)))
		case len(found) > 0:
			sum.different++
			if len(found) == 1 && found[0] == selfLinkAdded {
				sum.onlySelfLink++
			}
		default:
			sum.equal++
		}
	}
	return tallies, problems
}

// undoDifferences returns the text of an exchange without its listed differences, and these
// differences. It reports a problem if the difference that the request expects does not occur.
func undoDifferences(want, got exchange) (text string, found []*difference, problems []string) {
	for _, d := range slices.Concat(commonDifferences, []*difference{want.request.difference}) {
		if d == nil {
			continue
		}
		text, ok := d.undo(want, got)
		if !ok && d == want.request.difference {
			problems = append(problems, fmt.Sprintf("%s\nno longer has the difference %q; update differences_test.go:\n%.2000s", want, d.name, got.text))
		}
		got.text = text
		if ok {
			found = append(found, d)
		}
	}
	return got.text, found, problems
}

func TestRollbackRestoresNativeResponses(t *testing.T) {
	_, problems := compare(rolledBack, false)
	for _, problem := range problems {
		t.Error(problem)
	}
}

func TestBatchgateMatchesKubeAPIServer(t *testing.T) {
	tallies, problems := compare(takenOver, true)
	for _, problem := range problems {
		t.Error(problem)
	}
	count := map[*difference]int{}
	for _, sum := range tallies {
		for d, n := range sum.byDifference {
			count[d] += n
		}
	}
	for _, d := range slices.Concat(commonDifferences, expectedDifferences) {
		if count[d] == 0 {
			t.Errorf("no response has the difference %q; remove it from differences_test.go", d.name)
		}
	}
}

// TestGatedResponsesMatchGolden compares the responses that have nothing in common with
// kube-apiserver's with a golden file.
func TestGatedResponsesMatchGolden(t *testing.T) {
	var text strings.Builder
	for i, e := range takenOver.exchanges {
		if d := e.request.difference; d == nil || !d.wholeResponse || e.response == nil && e.unchanged {
			continue
		}
		without := e
		for _, d := range []*difference{duplicateHeaders, varyHeader} {
			without.text, _ = d.undo(native.exchanges[i], without)
		}
		fmt.Fprintf(&text, "### %s\n%s\n", e, without.text)
	}
	framework.CompareGolden(t, "test/e2e/parity/testdata/gate.txt", text.String(), updateCommand)
}
