package transitions

import (
	"fmt"
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

// selected returns all cells.
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
