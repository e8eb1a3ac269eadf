// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// stopDirectory is set in the child process of TestServer_LogsNoErrors.
const stopDirectory = "BATCHGATE_TEST_STOP_DIRECTORY"

func TestServer_LogsNoErrors(t *testing.T) {
	if directory := os.Getenv(stopDirectory); directory != "" {
		server := start(t, directory)
		if _, err := newClient(t, server).Put(t.Context(), "key", "value"); err != nil {
			t.Fatal(err)
		}
		server.Stop()
		return
	}

	cmd := exec.Command(os.Args[0], "-test.run=^TestServer_LogsNoErrors$")
	cmd.Env = append(os.Environ(), stopDirectory+"="+t.TempDir())
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	// etcd logs JSON to standard error.
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, `"level":"error"`) {
			t.Errorf("unexpected error in the log: %s", line)
		}
	}
}

func TestLogFilter_Check(t *testing.T) {
	server := start(t, t.TempDir())
	defer server.Stop()
	logger := server.etcd.GetLogger()
	for name, tc := range map[string]struct {
		message  string
		stopping bool
		want     bool
	}{
		"serving ended while running":  {servingEnded, false, true},
		"serving ended while stopping": {servingEnded, true, false},
		"version not stored yet":       {versionNotStored, false, false},
		"other error while running":    {"disk failure", false, true},
		"other error while stopping":   {"disk failure", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			server.stopping.Store(tc.stopping)
			for _, l := range []*zap.Logger{logger, logger.With(zap.Int("a", 1))} {
				if got := l.Check(zap.ErrorLevel, tc.message) != nil; got != tc.want {
					t.Errorf("logged: got %t, want %t", got, tc.want)
				}
			}
		})
	}
}
