// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// testJob is one Job of the test: a combination with an allowed change, and rejected changes that are
// tried before it in the same state.
type testJob struct {
	combination combination
	name        string
	rejected    []*change
}

// runAllVariable is the environment variable that selects all allowed combinations.
const runAllVariable = "BATCHGATE_ALL_TRANSITIONS"

// selectTestJobs returns the Jobs of this run. They include all rejected changes, which cost only one
// request each.
func selectTestJobs() []testJob {
	all, _ := combinations()
	rejected := map[combination][]*change{}
	var allowed []testJob
	for i, c := range all {
		if message, _ := rejection(c); message == "" {
			allowed = append(allowed, testJob{combination: c, name: fmt.Sprintf("j-%04d", i)})
		} else {
			rejected[c.withoutChange()] = append(rejected[c.withoutChange()], c.change)
		}
	}
	if os.Getenv(runAllVariable) == "" {
		allowed = coveringSubset(allowed)
	}
	slices.SortStableFunc(allowed, func(a, b testJob) int {
		return slices.Index(states, a.combination.state) - slices.Index(states, b.combination.state)
	})
	// The first Job in each state tries the rejected changes, which do not affect its outcome.
	for i, g := range allowed {
		allowed[i].rejected = rejected[g.combination.withoutChange()]
		delete(rejected, g.combination.withoutChange())
	}
	return allowed
}

func (c combination) withoutChange() combination {
	c.change = nil
	return c
}

// coverage returns the partial combinations that c covers: everything but the change, and the change
// with the state, the feature and the mode.
func (c combination) coverage() []combination {
	return []combination{
		c.withoutChange(), {state: c.state, change: c.change}, {feature: c.feature, change: c.change}, {mode: c.mode, change: c.change},
	}
}

// coveringSubset returns a subset with the same coverage. It is greedy: it repeatedly takes the first
// testJob that covers most of the missing partial combinations.
func coveringSubset(all []testJob) []testJob {
	missing := map[combination]bool{}
	for _, g := range all {
		for _, covered := range g.combination.coverage() {
			missing[covered] = true
		}
	}
	var subset []testJob
	for len(missing) > 0 {
		best, most := 0, 0
		for i, g := range all {
			news := 0
			for _, covered := range g.combination.coverage() {
				if missing[covered] {
					news++
				}
			}
			if news > most {
				best, most = i, news
			}
		}
		subset = append(subset, all[best])
		for _, covered := range all[best].combination.coverage() {
			delete(missing, covered)
		}
	}
	return subset
}

func TestSelectionIsComplete(t *testing.T) {
	all, excluded := combinations()
	rejections := 0
	for _, c := range all {
		if message, _ := rejection(c); message != "" {
			rejections++
		}
	}
	testJobs, tried := selectTestJobs(), 0
	for _, g := range testJobs {
		tried += len(g.rejected)
	}
	if tried != rejections {
		t.Errorf("the run tries %d of %d rejected changes", tried, rejections)
	}
	for _, r := range exclusions {
		if excluded[r.rule] == 0 {
			t.Errorf("the rule excludes no combination: %s", r.rule)
		}
	}
	t.Logf("%d combinations, %d of them rejected; this run creates %d Jobs", len(all), rejections, len(testJobs))
}
