// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	special  = strings.NewReplacer("<", "&lt;", "*", `\*`)
	flagName = regexp.MustCompile(`(^|[\s(])(--[a-z][a-z0-9-]*(?:=[\w/-]+(?:\.\w+)*(?:=(?:true|false))?)?)`)
)

// escape returns text without characters that Markdown interprets, and with flags as code.
func escape(text string) string {
	return flagName.ReplaceAllString(special.Replace(text), "$1`$2`")
}

// cell returns text for a cell of a table.
func cell(text string) string {
	text = strings.ReplaceAll(escape(strings.TrimSpace(text)), "|", `\|`)
	return strings.ReplaceAll(text, "\n", "<br>")
}

// code returns text as code for a cell of a table; empty if there is no text.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

// prose returns the long description of a command. Indented lines become a block of code.
func prose(text string) string {
	var b strings.Builder
	indented := false
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if now := strings.HasPrefix(line, "  "); now != indented {
			indented = now
			fence := "\n```text\n"
			if !now {
				fence = "```\n"
			}
			b.WriteString(fence)
		}
		if indented {
			b.WriteString(strings.TrimPrefix(line, "  ") + "\n")
		} else {
			b.WriteString(escape(line) + "\n")
		}
	}
	if indented {
		b.WriteString("```\n")
	}
	return b.String()
}

// block returns a block of code in a language, without the common indentation of examples.
func block(language, text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return fmt.Sprintf("```%s\n%s\n```\n", language, strings.Join(lines, "\n"))
}

// table returns a table. All cells must be escaped.
func table(header []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
	return strings.ReplaceAll(b.String(), " |  |", " | |")
}

// title returns text with an upper-case first letter.
func title(text string) string {
	return strings.ToUpper(text[:1]) + text[1:]
}
