// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package svg

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Chart is a chart of lines over time.
type Chart struct {
	Lines []ChartLine
	// Unit is the unit of the values; see FormatValue.
	Unit string
	// From and To are the limits of the time axis, in seconds.
	From, To float64
}

// ChartLine is a series of a Chart. X of a point is its time in seconds, and Y its value. Neighbors that
// are more than MaxGap seconds apart are not connected.
type ChartLine struct {
	Label  string
	Points []Point
}

// MaxGap is the longest time without a value inside a line.
const MaxGap = 60

// Box is an area of a picture.
type Box struct{ X, Y, Width, Height float64 }

const (
	legendLine = 16.0
	legendRows = 3
	legendSize = 11.0
	legendMark = 16.0 // the width of a mark and the space after it

	// legendSpace is the space between two entries.
	legendSpace = 12.0
)

// Chart draws a chart with its axes and a legend below it. The legend has the lines with the highest
// values first, and counts those that have no room.
func (d *Document) Chart(c Chart, box Box) {
	lines := slices.Clone(c.Lines)
	slices.SortStableFunc(lines, func(a, b ChartLine) int { return cmp.Compare(highest(b.Points), highest(a.Points)) })
	legend := legendOf(lines, box.Width)
	const xAxis, leftAxis, right = 20.0, 62.0, 8.0
	plot := Box{box.X + leftAxis, box.Y + 10, box.Width - leftAxis - right, box.Height - 10 - xAxis - legendLine*float64(len(legend))}

	top := 0.0
	for _, l := range lines {
		top = max(top, highest(l.Points))
	}
	ticks := Ticks(top, c.Unit)
	top = ticks[len(ticks)-1]
	x := func(time float64) float64 { return plot.X + (time-c.From)/(c.To-c.From)*plot.Width }
	y := func(value float64) float64 { return plot.Y + plot.Height - value/top*plot.Height }
	for _, tick := range ticks {
		d.Line("grid", Point{plot.X, y(tick)}, Point{plot.X + plot.Width, y(tick)})
		d.Text("muted small end", plot.X-6, y(tick)+4, FormatValue(tick, c.Unit))
	}
	step := math.Ceil((c.To-c.From)/60/4) * 60
	for time := c.From; time <= c.To+1; time += step {
		d.Text("muted small middle", x(time), plot.Y+plot.Height+16, fmt.Sprintf("%g min", math.Round((time-c.From)/60)))
	}
	for i, l := range lines {
		for _, segment := range segments(l.Points) {
			points := make([]Point, len(segment))
			for n, p := range segment {
				points[n] = Point{x(p.X), y(max(p.Y, 0))}
			}
			d.Line(SeriesClass(i), points...)
		}
	}
	for i, row := range legend {
		baseline := plot.Y + plot.Height + xAxis + legendLine*float64(i) + 12
		for _, entry := range row {
			if entry.line >= 0 {
				d.Rect(MarkClass(entry.line), box.X+entry.x, baseline-5, 12, 3)
			}
			d.Text("muted small", box.X+entry.x+legendMark, baseline, entry.label)
		}
	}
}

func highest(points []Point) float64 {
	top := 0.0
	for _, p := range points {
		top = max(top, p.Y)
	}
	return top
}

// segments splits points at gaps.
func segments(points []Point) [][]Point {
	var split [][]Point
	for i, p := range points {
		if i == 0 || p.X-points[i-1].X > MaxGap {
			split = append(split, nil)
		}
		split[len(split)-1] = append(split[len(split)-1], p)
	}
	return split
}

// legendEntry is a line of a chart in its legend. The entry that counts the others has line -1.
type legendEntry struct {
	line  int
	label string
	x     float64
}

func legendOf(lines []ChartLine, width float64) [][]legendEntry {
	rows := [][]legendEntry{nil}
	x := 0.0
	for i, l := range lines {
		label := Fit(l.Label, legendSize, width-legendMark)
		entryWidth := legendMark + TextWidth(label, legendSize)
		if x > 0 && x+entryWidth > width {
			if len(rows) == legendRows {
				return countRest(rows, len(lines)-i, width)
			}
			rows, x = append(rows, nil), 0
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], legendEntry{i, label, x})
		x += entryWidth + legendSpace
	}
	return rows
}

// countRest ends the last row with the number of lines that have no room. To make room for that, it
// removes entries, or shortens the only one.
func countRest(rows [][]legendEntry, rest int, width float64) [][]legendEntry {
	last := &rows[len(rows)-1]
	for {
		text := fmt.Sprintf("and %d more", rest)
		room := width - legendSpace - TextWidth(text, legendSize)
		end := &(*last)[len(*last)-1]
		if len(*last) == 1 {
			end.label = Fit(end.label, legendSize, room-legendMark)
		}
		if x := end.x + legendMark + TextWidth(end.label, legendSize); x <= room {
			*last = append(*last, legendEntry{-1, text, x + legendSpace - legendMark})
			return rows
		}
		*last = (*last)[:len(*last)-1]
		rest++
	}
}
