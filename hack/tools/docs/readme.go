// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/yuin/goldmark/ast"
	extast "github.com/yuin/goldmark/extension/ast"
)

// maxWords is how many words README.md may have, as wc counts them.
const maxWords = 900

var (
	// number matches numbers and versions, but not names such as batch/v1, v1beta1 or #123.
	number = regexp.MustCompile(`(?:^|[^\w./#])(v?\d+(?:[.,]\d+)*)`)
	// apiVersion matches what number cannot exclude.
	apiVersion = regexp.MustCompile(`^v\d+$`)
	// dependency matches the modules whose versions README.md may mention.
	dependency = regexp.MustCompile(`(?m)^(?:go|\s+(?:k8s\.io/kubernetes|go\.etcd\.io/etcd/server/v3)) v?(\d\S*)`)
)

// checkReadme returns what is wrong with README.md: too many words, and numbers without a
// source. Versions in VERSION or go.mod need no source. Other numbers must be in a generated
// page, or in a file other than a page, to which the same paragraph or row links. The paragraph
// before a table may have the link for the whole table. Code may have any number.
func (r *repository) checkReadme() ([]string, error) {
	readme := r.pages["README.md"]
	if readme == nil {
		return []string{"README.md: no such file"}, nil
	}
	var problems []string
	if words := len(bytes.Fields(readme.source)); words > maxWords {
		problems = append(problems, fmt.Sprintf("README.md: has %d words, may have %d; move some to docs", words, maxWords))
	}
	versions, err := r.versions()
	if err != nil {
		return nil, err
	}
	err = ast.Walk(readme.document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		switch node.Kind() {
		case ast.KindParagraph, ast.KindTextBlock, ast.KindHeading, extast.KindTableRow, extast.KindTableHeader:
		default:
			return ast.WalkContinue, nil
		}
		if !entering {
			return ast.WalkContinue, nil
		}
		sources, err := r.sources(readme, node)
		if err != nil {
			return ast.WalkStop, err
		}
		for _, n := range numbers(plainText(node, readme.source, false)) {
			if !isVersion(n, versions) && !sources[n] {
				problems = append(problems, fmt.Sprintf("README.md:%d: %s is neither a version in VERSION or go.mod, "+
					"nor in a generated page that this paragraph links to", readme.line(node), n))
			}
		}
		return ast.WalkSkipChildren, nil
	})
	return problems, err
}

// numbers returns the numbers in a text.
func numbers(text string) []string {
	var all []string
	for _, match := range number.FindAllStringSubmatch(text, -1) {
		if !apiVersion.MatchString(match[1]) {
			all = append(all, strings.TrimPrefix(match[1], "v"))
		}
	}
	return all
}

// versions returns the versions of the project, Go, Kubernetes and etcd.
func (r *repository) versions() ([]string, error) {
	var all []string
	content, err := os.ReadFile(filepath.Join(r.root, "VERSION"))
	if err != nil {
		return nil, err
	}
	all = append(all, strings.TrimSpace(string(content)))
	if content, err = os.ReadFile(filepath.Join(r.root, "go.mod")); err != nil {
		return nil, err
	}
	for _, match := range dependency.FindAllStringSubmatch(string(content), -1) {
		all = append(all, match[1])
	}
	return all, nil
}

// isVersion reports whether a number is a version, or its major and minor part.
func isVersion(number string, versions []string) bool {
	for _, v := range versions {
		if number == v || strings.Contains(number, ".") && strings.HasPrefix(v, number+".") {
			return true
		}
	}
	return false
}

// sources returns the numbers in the files that a block of README.md links to.
func (r *repository) sources(readme *page, block ast.Node) (map[string]bool, error) {
	blocks := []ast.Node{block}
	if table := block.Parent(); table != nil && table.Kind() == extast.KindTable {
		if before := table.PreviousSibling(); before != nil && before.Kind() == ast.KindParagraph {
			blocks = append(blocks, before)
		}
	}
	found := map[string]bool{}
	for _, b := range blocks {
		err := ast.Walk(b, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
			l, ok := node.(*ast.Link)
			if !ok || !entering {
				return ast.WalkContinue, nil
			}
			target, _, ok := r.resolve(readme, string(l.Destination))
			if to := r.pages[target]; !ok || to != nil && !to.generated() {
				return ast.WalkContinue, nil
			}
			content, err := readFile(filepath.Join(r.root, filepath.FromSlash(target)))
			for _, n := range numbers(string(content)) {
				found[n] = true
			}
			return ast.WalkContinue, err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// readFile returns nothing for a file that does not exist, which checkLinks reports, and for a
// directory.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return nil, nil
	}
	return os.ReadFile(path)
}
