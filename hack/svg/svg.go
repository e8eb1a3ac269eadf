// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package svg draws the pictures of the docs. They adapt to the color scheme of the reader, and need no
// fonts of a particular width: text never has to fit by less than a few pixels.
package svg

import (
	"fmt"
	"html"
	"strconv"
	"strings"
)

// Document is a picture. All lengths are in pixels. A class is one or more names of the style sheet.
type Document struct {
	title string
	width float64
	body  strings.Builder
}

// Point is a position in a picture.
type Point struct{ X, Y float64 }

// New returns an empty picture. The title describes it to readers who cannot see it.
func New(title string, width float64) *Document { return &Document{title: title, width: width} }

// Rect adds a rectangle.
func (d *Document) Rect(class string, x, y, width, height float64) {
	fmt.Fprintf(&d.body, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`+"\n", class, length(x), length(y), length(width), length(height))
}

// Circle adds a circle.
func (d *Document) Circle(class string, center Point, radius float64) {
	fmt.Fprintf(&d.body, `<circle class="%s" cx="%s" cy="%s" r="%s"/>`+"\n", class, length(center.X), length(center.Y), length(radius))
}

// Text adds a line of text with its baseline at y. It starts at x, or ends there if the class
// includes "end", or is centered there if the class includes "middle".
func (d *Document) Text(class string, x, y float64, text string) {
	fmt.Fprintf(&d.body, `<text class="%s" x="%s" y="%s">%s</text>`+"\n", class, length(x), length(y), html.EscapeString(text))
}

// Line connects the points.
func (d *Document) Line(class string, points ...Point) {
	if len(points) == 0 {
		return
	}
	fmt.Fprintf(&d.body, `<path class="%s" d="`, class)
	for i, p := range points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		d.body.WriteString(command + length(p.X) + " " + length(p.Y))
	}
	d.body.WriteString("\"/>\n")
}

// Encode returns the picture with this height.
func (d *Document) Encode(height float64) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]s" height="%[2]s" viewBox="0 0 %[1]s %[2]s" role="img" xml:space="preserve">
<title>%[3]s</title>
<style>%[4]s</style>
%[5]s</svg>
`, length(d.width), length(height), html.EscapeString(d.title), style, d.body.String())
}

// length rounds to a tenth of a pixel.
func length(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}
