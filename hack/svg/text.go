// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package svg

import "strings"

// TextWidth estimates the width of a text in a wide sans-serif font, so that it is an upper bound for
// most fonts.
func TextWidth(text string, fontSize float64) float64 {
	width := 0.0
	for _, r := range text {
		switch {
		case strings.ContainsRune("ijl.,:;'|! ", r):
			width += 0.33
		case strings.ContainsRune("frtI()[]/-", r):
			width += 0.42
		case strings.ContainsRune("cksvxyz", r):
			width += 0.57
		case strings.ContainsRune("mwMW@%", r):
			width += 0.95
		case r >= 'A' && r <= 'Z':
			width += 0.72
		default:
			width += 0.63
		}
	}
	return width * fontSize
}

// Fit shortens a text that is wider than width, and ends it with an ellipsis.
func Fit(text string, fontSize, width float64) string {
	if TextWidth(text, fontSize) <= width {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && TextWidth(string(runes)+"…", fontSize) > width {
		runes = runes[:len(runes)-1]
	}
	return strings.TrimRight(string(runes), " ") + "…"
}

// Wrap breaks a text between words into lines that fit into the width if each word does.
func Wrap(text string, fontSize, width float64) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		if last := len(lines) - 1; last >= 0 && TextWidth(lines[last]+" "+word, fontSize) <= width {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
