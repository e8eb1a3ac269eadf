// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// page is a parsed Markdown file.
type page struct {
	path     string // slash-separated, relative to the repository
	source   []byte
	document ast.Node
	title    string // text of the first heading
	links    []link
	// ids are the ids of headings and HTML elements, as GitHub assigns them.
	ids map[string]bool
}

type link struct {
	target string
	line   int
}

var (
	htmlID   = regexp.MustCompile(`(?:id|name)="([^"]+)"`)
	htmlLink = regexp.MustCompile(`(?:href|src)="([^"]+)"`)
)

// parse reads GitHub's Markdown.
func parse(path string, source []byte) *page {
	markdown := goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote))
	p := &page{path: path, source: source, document: markdown.Parser().Parse(text.NewReader(source)), ids: map[string]bool{}}
	_ = ast.Walk(p.document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := node.(type) {
		case *ast.Link:
			p.addLink(string(n.Destination), n)
		case *ast.Image:
			p.addLink(string(n.Destination), n)
		case *ast.AutoLink:
			p.addLink(string(n.URL(source)), n)
		case *ast.Heading:
			text := plainText(n, source, true)
			if p.title == "" {
				p.title = text
			}
			p.addID(slug(text))
		case *ast.HTMLBlock:
			p.addHTML(n.Lines().Value(source), n)
		case *ast.RawHTML:
			p.addHTML(n.Segments.Value(source), n)
		}
		return ast.WalkContinue, nil
	})
	return p
}

func (p *page) addLink(target string, node ast.Node) {
	p.links = append(p.links, link{target: target, line: p.line(node)})
}

func (p *page) addHTML(html []byte, node ast.Node) {
	for _, match := range htmlID.FindAllSubmatch(html, -1) {
		p.ids[string(match[1])] = true
	}
	for _, match := range htmlLink.FindAllSubmatch(html, -1) {
		p.addLink(string(match[1]), node)
	}
}

// addID adds the id of a heading, with a number if an earlier heading has the same one.
func (p *page) addID(id string) {
	unique := id
	for i := 1; p.ids[unique]; i++ {
		unique = fmt.Sprintf("%s-%d", id, i)
	}
	p.ids[unique] = true
}

// line returns the line that a node begins on.
func (p *page) line(node ast.Node) int {
	for ; node != nil; node = node.Parent() {
		if node.Type() == ast.TypeBlock && node.Lines() != nil && node.Lines().Len() > 0 {
			return 1 + bytes.Count(p.source[:node.Lines().At(0).Start], []byte("\n"))
		}
		if position := node.Pos(); position > 0 {
			return 1 + bytes.Count(p.source[:position], []byte("\n"))
		}
	}
	return 1
}

// generated reports whether the first line says that a command generates the page.
func (p *page) generated() bool {
	return bytes.HasPrefix(p.source, []byte(generatedLine))
}

// plainText returns the text of a node without markup, with or without what is in backticks.
func plainText(node ast.Node, source []byte, code bool) string {
	var b strings.Builder
	_ = ast.Walk(node, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.CodeSpan:
			if code {
				for c := n.FirstChild(); c != nil; c = c.NextSibling() {
					if t, ok := c.(*ast.Text); ok {
						b.Write(t.Value(source))
					}
				}
			}
			return ast.WalkSkipChildren, nil
		case *ast.AutoLink:
			return ast.WalkSkipChildren, nil
		case *ast.Text:
			value := util.ResolveEntityNames(util.ResolveNumericReferences(n.Value(source)))
			b.Write(util.UnescapePunctuations(value))
			if n.SoftLineBreak() || n.HardLineBreak() {
				b.WriteByte('\n')
			}
		case *ast.String:
			b.Write(n.Value)
		case *extast.TableCell:
			b.WriteByte('\n')
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// slug returns the id that GitHub gives to a heading with this text.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ', r == '-':
			return '-'
		case unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Pc):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}
