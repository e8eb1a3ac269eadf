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
	var ends strings.Builder
	logs, _ := filepath.Glob(filepath.Join(c.Dir, "*.log"))
	for _, log := range logs {
		content, _ := os.ReadFile(log)
		lines := bytes.SplitAfter(content, []byte("\n"))
		fmt.Fprintf(&ends, "--- the end of %s\n%s", filepath.Base(log), bytes.Join(lines[max(0, len(lines)-40):], nil))
	}
	return ends.String()
}
