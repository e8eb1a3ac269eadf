package transitions

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// group is an allowed cell that is run, with the changes that are tried before and must be
// refused in the same state.
type group struct {
	cell    cell
	name    string
	refused []*change
}

// allVariable is set for all allowed cells instead of a part of them.
const allVariable = "BATCHGATE_ALL_TRANSITIONS"

// selected returns the cells of this run. All refused changes are in it: they cost a request.
func selected() []group {
	cells, _ := product()
	refused := map[cell][]*change{}
	var allowed []group
	for i, c := range cells {
		if message, _ := refusal(c); message == "" {
			allowed = append(allowed, group{cell: c, name: fmt.Sprintf("j-%04d", i)})
		} else {
			refused[c.situation()] = append(refused[c.situation()], c.change)
		}
	}
	if os.Getenv(allVariable) == "" {
		allowed = covering(allowed)
	}
	slices.SortStableFunc(allowed, func(a, b group) int { return slices.Index(states, a.cell.state) - slices.Index(states, b.cell.state) })
	// Refused changes are tried on the first Job that there is in their state: it then ends as if they
	// were not.
	for i, g := range allowed {
		allowed[i].refused = refused[g.cell.situation()]
		delete(refused, g.cell.situation())
	}
	return allowed
}

// situation is the cell without its change.
func (c cell) situation() cell {
	c.change = nil
	return c
}

// covers returns what a cell tests: its situation, and its change in the state, with the
// feature, and in the mode.
func (c cell) covers() []cell {
	return []cell{
		c.situation(), {state: c.state, change: c.change}, {feature: c.feature, change: c.change}, {mode: c.mode, change: c.change},
	}
}

// covering returns a part of the cells that covers what all of them do: always that which
// covers most of what is missing, and the first of these.
func covering(all []group) []group {
	missing := map[cell]bool{}
	for _, g := range all {
		for _, covered := range g.cell.covers() {
			missing[covered] = true
		}
	}
	var part []group
	for len(missing) > 0 {
		best, most := 0, 0
		for i, g := range all {
			news := 0
			for _, covered := range g.cell.covers() {
				if missing[covered] {
					news++
				}
			}
			if news > most {
				best, most = i, news
			}
		}
		part = append(part, all[best])
		for _, covered := range all[best].cell.covers() {
			delete(missing, covered)
		}
	}
	return part
}

func TestEveryRefusalIsTriedAndEveryRuleLeavesSomethingOut(t *testing.T) {
	cells, without := product()
	refusals := 0
	for _, c := range cells {
		if message, _ := refusal(c); message != "" {
			refusals++
		}
	}
	groups, tried := selected(), 0
	for _, g := range groups {
		tried += len(g.refused)
	}
	if tried != refusals {
		t.Errorf("%d refused cells of %d are tried", tried, refusals)
	}
	for _, r := range leftOut {
		if without[r.rule] == 0 {
			t.Errorf("no combination is left out since %s", r.rule)
		}
	}
	t.Logf("%d cells, %d of them refused; this run makes %d Jobs", len(cells), refusals, len(groups))
}
