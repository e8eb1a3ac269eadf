// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// own is the address of the repository's files, which must be linked by relative paths.
var own = regexp.MustCompile(`^https://github\.com/batchgate/batchgate/(blob|tree|raw)/`)

// lineNumber is the fragment that selects lines of a file.
var lineNumber = regexp.MustCompile(`^L\d+(-L\d+)?$`)

// checkLinks returns the links that do not resolve. It does not look at other sites.
func (r *repository) checkLinks() []string {
	var problems []string
	for _, p := range r.paths() {
		for _, l := range r.pages[p].links {
			if problem := r.checkLink(r.pages[p], l.target); problem != "" {
				problems = append(problems, fmt.Sprintf("%s:%d: link to %q: %s", p, l.line, l.target, problem))
			}
		}
	}
	return problems
}

// checkLink returns what is wrong with a link; empty if it resolves.
func (r *repository) checkLink(from *page, link string) string {
	if own.MatchString(link) {
		return "use a relative path"
	}
	target, fragment, ok := r.resolve(from, link)
	if !ok {
		return ""
	}
	if strings.HasPrefix(link, "/") {
		return "use a path that is relative to the page"
	}
	if target == ".." || strings.HasPrefix(target, "../") {
		return "it leaves the repository"
	}
	info, err := os.Stat(filepath.Join(r.root, filepath.FromSlash(target)))
	if err != nil {
		return "no such file"
	}
	to := r.pages[target]
	switch {
	case fragment == "":
	case info.IsDir():
		return "a directory has no headings"
	case to != nil && !to.ids[fragment]:
		return "no such heading"
	case to == nil && !lineNumber.MatchString(fragment):
		return "the file has no headings"
	}
	return ""
}

// resolve returns the path and the fragment of a link to the repository. ok is false for links
// to other sites.
func (r *repository) resolve(from *page, link string) (target, fragment string, ok bool) {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "" || u.Host != "" {
		return "", "", false
	}
	if u.Path == "" {
		return from.path, u.Fragment, true
	}
	return path.Join(path.Dir(from.path), u.Path), u.Fragment, true
}
