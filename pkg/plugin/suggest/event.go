// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// event has the fields of an audit event (audit.k8s.io/v1) that the suggestions need.
type event struct {
	User             userInfo
	ImpersonatedUser *userInfo
	ObjectRef        struct{ Namespace string }
	ResponseStatus   struct{ Code int }

	RequestReceivedTimestamp time.Time
	Annotations              map[string]string
}

type userInfo struct {
	Username string
	Groups   []string
}

// effectiveUser returns the user that the gate has evaluated.
func (e *event) effectiveUser() userInfo {
	if e.ImpersonatedUser != nil {
		return *e.ImpersonatedUser
	}
	return e.User
}

// paths returns the paths that were denied or granted with a warning, and how many the event does not list.
func (e *event) paths() (paths []string, more string) {
	for _, annotation := range []string{policy.AuditDeniedPaths, policy.AuditWarnedPaths} {
		switch text := e.Annotations[annotation]; {
		case text == "":
		case strings.Contains(text+"; ", "...; "): // an older server has cut a path
			return nil, "more"
		default:
			paths = append(paths, splitPaths(text)...)
		}
	}
	if n := len(paths); n > 0 && countOfOthers.MatchString(paths[n-1]) {
		return paths[:n-1], paths[n-1]
	}
	return paths, ""
}

// countOfOthers matches the end of a list that was cut.
var countOfOthers = regexp.MustCompile(`^[0-9]+ more$`)

// splitPaths splits a list of paths at each "; " that is not part of a quoted key. The list must not have
// a path that was cut, because the rest could then be read as other paths.
func splitPaths(text string) []string {
	var paths []string
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted && strings.HasPrefix(text[i:], "; "):
			paths = append(paths, text[start:i])
			start = i + len("; ")
		}
	}
	return append(paths, text[start:])
}

// labels returns the labels that the Job had before the update, or nil if the event does not have them.
func (e *event) labels() map[string]string {
	text, ok := e.Annotations[policy.AuditJobLabels]
	if !ok {
		return nil
	}
	labels := map[string]string{}
	if err := json.Unmarshal([]byte(text), &labels); err != nil {
		return nil
	}
	return labels
}
