// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// LogTails returns the last 40 lines of each component's log.
func (c *Cluster) LogTails() string {
	var tails strings.Builder
	logs, _ := filepath.Glob(filepath.Join(c.Dir, "*.log"))
	for _, log := range logs {
		content, _ := os.ReadFile(log)
		lines := bytes.SplitAfter(content, []byte("\n"))
		fmt.Fprintf(&tails, "--- end of %s\n%s", filepath.Base(log), bytes.Join(lines[max(0, len(lines)-40):], nil))
	}
	return tails.String()
}
