// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package svg

import "strings"

// Command is a command line of a shell with its output. Both may have several lines.
type Command struct{ Line, Output string }

// Terminal draws a terminal with the commands and their output. Lines longer than the number of
// columns are wrapped, between words if possible.
func Terminal(command, title string, columns int, commands []Command) string {
	const (
		padding    = 16.0
		bar        = 34.0 // height of the title bar
		lineHeight = 19.0
		// charWidth is the width in the widest usual monospaced fonts at 14 pixels.
		charWidth = 14 * 0.605
	)
	width := 2*padding + float64(columns)*charWidth
	d := New(command, title, width)
	var rows []terminalRow
	for i, c := range commands {
		if i > 0 && !isComment(commands[i-1].Line) {
			rows = append(rows, terminalRow{})
		}
		rows = append(rows, c.rows(columns)...)
	}
	height := bar + padding + float64(len(rows))*lineHeight + padding/2
	d.Rect("panel", 0.5, 0.5, width-1, height-1)
	for i := range 3 {
		d.Circle("bar", Point{padding + 5 + float64(i)*18, bar / 2}, 5.5)
	}
	d.Text("muted middle", width/2, bar/2+4, title)
	d.Line("grid", Point{0.5, bar}, Point{width - 0.5, bar})
	for i, r := range rows {
		y := bar + padding + float64(i)*lineHeight + 8
		if strings.TrimSpace(r.prompt) != "" {
			d.Text("mono prompt", padding, y, r.prompt)
		}
		if r.text != "" {
			d.Text(r.class, padding+float64(len(r.prompt))*charWidth, y, r.text)
		}
	}
	return d.Encode(height)
}

type terminalRow struct{ prompt, class, text string }

func isComment(line string) bool { return strings.HasPrefix(line, "#") }

func (c Command) rows(columns int) []terminalRow {
	class := "mono bold"
	if isComment(c.Line) {
		class = "mono comment"
	}
	var rows []terminalRow
	prompt := "$ "
	for _, line := range strings.Split(c.Line, "\n") {
		for i, part := range split(line, columns-len(prompt)) {
			if i > 0 {
				prompt = "  "
			}
			rows = append(rows, terminalRow{prompt, class, part})
		}
		prompt = "> "
	}
	if c.Output == "" {
		return rows
	}
	for _, line := range strings.Split(strings.TrimRight(c.Output, "\n"), "\n") {
		for _, part := range split(line, columns) {
			rows = append(rows, terminalRow{class: "mono", text: part})
		}
	}
	return rows
}

// split cuts a line into pieces of at most this many characters, without trailing spaces.
func split(line string, columns int) []string {
	var parts []string
	rest := []rune(strings.TrimRight(line, " "))
	for len(rest) > columns {
		end := columns
		for i := columns; i > 0; i-- {
			if rest[i] == ' ' && strings.TrimSpace(string(rest[:i])) != "" {
				end = i
				break
			}
		}
		parts = append(parts, strings.TrimRight(string(rest[:end]), " "))
		rest = []rune(strings.TrimLeft(string(rest[end:]), " "))
	}
	return append(parts, string(rest))
}
