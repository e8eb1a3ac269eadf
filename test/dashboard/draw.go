// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/batchgate/batchgate/hack/svg"
)

// The layout follows Grafana: a grid with 24 columns.
const (
	width     = 1000.0
	margin    = 8.0
	column    = (width - 2*margin) / 24
	rowHeight = 30.0
	header    = 46.0
	gap       = 6.0
	padding   = 10.0

	// boldSize is the size at which the regular font is about as wide as the bold font at 12 pixels.
	boldSize = 13.4
)

// draw returns the dashboard as a picture.
func draw(title string, panels []panel, from, to float64) string {
	d := svg.New("go -C test run ./dashboard", "Grafana dashboard "+title, width)
	bottom := 0.0
	for _, p := range panels {
		bottom = max(bottom, p.GridPos.Y+p.GridPos.H)
	}
	height := header + bottom*rowHeight + margin
	d.Rect("page", 0.5, 0.5, width-1, height-1)
	d.Text("title", margin+padding, 30, title)
	d.Text("muted end", width-margin-padding, 30, "Replica: All")
	for _, p := range panels {
		box := svg.Box{X: margin + p.GridPos.X*column + gap/2, Y: header + p.GridPos.Y*rowHeight + gap/2, Width: p.GridPos.W*column - gap, Height: p.GridPos.H*rowHeight - gap}
		if p.Type == "row" {
			d.Text("heading", box.X+padding, box.Y+17, p.Title)
			continue
		}
		d.Rect("panel", box.X, box.Y, box.Width, box.Height)
		inner := svg.Box{X: box.X + padding, Y: box.Y + 8, Width: box.Width - 2*padding, Height: box.Height - 14}
		for _, line := range svg.Wrap(p.Title, boldSize, inner.Width) {
			d.Text("bold", inner.X, inner.Y+12, line)
			inner.Y, inner.Height = inner.Y+16, inner.Height-16
		}
		p.drawContent(d, inner, from, to)
	}
	return d.Encode(height)
}

func (p panel) drawContent(d *svg.Document, box svg.Box, from, to float64) {
	present := slices.DeleteFunc(slices.Clone(p.series), func(s series) bool {
		return len(s.points) == 0 || p.Type != "timeseries" && math.IsNaN(s.last)
	})
	switch {
	case len(present) == 0:
		d.Text("muted middle", box.X+box.Width/2, box.Y+box.Height/2, "No data")
	case p.Type == "stat":
		p.drawStat(d, box, present)
	case p.Type == "table":
		p.drawTable(d, box, present)
	default:
		chart := svg.Chart{Unit: p.FieldConfig.Defaults.Unit, From: from, To: to}
		for _, s := range present {
			chart.Lines = append(chart.Lines, svg.ChartLine{Label: s.name, Points: s.points})
		}
		d.Chart(chart, box)
	}
}

// drawStat draws the last value of each series.
func (p panel) drawStat(d *svg.Document, box svg.Box, values []series) {
	if len(values) == 1 {
		d.Text("huge middle "+p.color(values[0].last), box.X+box.Width/2, box.Y+box.Height/2+10, svg.FormatValue(values[0].last, p.FieldConfig.Defaults.Unit))
		return
	}
	each := box.Height / float64(len(values))
	for i, s := range values {
		y := box.Y + each*float64(i)
		d.Text("muted small", box.X, y+each/2+4, svg.Fit(s.name, 11, box.Width-24))
		d.Text("large end "+p.color(s.last), box.X+box.Width, y+each/2+6, svg.FormatValue(s.last, p.FieldConfig.Defaults.Unit))
	}
}

// color returns the class for a value by the thresholds of the panel.
func (p panel) color(value float64) string {
	color := ""
	for i, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if i == 0 || value >= step.Value {
			color = step.Color
		}
	}
	return map[string]string{"green": "good", "orange": "warning", "red": "bad"}[color]
}

// drawTable draws a row for each series, with its labels and its last value. The highest values come
// first.
func (p panel) drawTable(d *svg.Document, box svg.Box, rows []series) {
	const (
		line  = 17.0
		size  = 11.0
		space = 10.0
	)
	slices.SortStableFunc(rows, func(a, b series) int { return cmp.Compare(b.last, a.last) })
	labels := map[string]bool{}
	for _, s := range rows {
		for name := range s.labels {
			labels[name] = true
		}
	}
	const value = "Value"
	columns := append(slices.Sorted(maps.Keys(labels)), value)
	cell := func(s series, name string) string {
		if name == value {
			return svg.FormatValue(s.last, p.FieldConfig.Defaults.Unit)
		}
		return s.labels[name]
	}
	widths := make([]float64, len(columns))
	for i, name := range columns {
		widths[i] = svg.TextWidth(name, size)
		for _, s := range rows {
			widths[i] = max(widths[i], svg.TextWidth(cell(s, name), size))
		}
	}
	shrink(widths, box.Width-space*float64(len(widths)-1))
	y := box.Y + 12
	x := box.X
	for i, name := range columns {
		d.Text("muted small", x, y, svg.Fit(name, size, widths[i]))
		x += widths[i] + space
	}
	d.Line("grid", svg.Point{X: box.X, Y: y + 5}, svg.Point{X: box.X + box.Width, Y: y + 5})
	for _, s := range rows {
		if y += line; y > box.Y+box.Height {
			return
		}
		x := box.X
		for i, name := range columns {
			d.Text("small", x, y+3, svg.Fit(cell(s, name), size, widths[i]))
			x += widths[i] + space
		}
	}
}

// shrink makes the widest columns narrower until all fit into the width.
func shrink(widths []float64, available float64) {
	for {
		sum, widest := 0.0, 0
		for i, w := range widths {
			if sum += w; w > widths[widest] {
				widest = i
			}
		}
		if sum <= available || widths[widest] < 1 {
			return
		}
		widths[widest] -= min(sum-available, 5)
	}
}
