package embeddedetcd

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// stopDirectory tells a process of this test to start etcd, and to stop it.
const stopDirectory = "BATCHGATE_TEST_STOP_DIRECTORY"

func TestCleanStopLogsNothing(t *testing.T) {
	if directory := os.Getenv(stopDirectory); directory != "" {
		server := start(t, directory)
		if _, err := client(t, server).Put(t.Context(), "key", "value"); err != nil {
			t.Fatal(err)
		}
		server.Stop()
		return
	}

	cmd := exec.Command(os.Args[0], "-test.run=^TestCleanStopLogsNothing$")
	cmd.Env = append(os.Environ(), stopDirectory+"="+t.TempDir())
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	// etcd logs JSON to standard error.
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, `"level":"error"`) {
			t.Errorf("it logs %s", line)
		}
	}
}

func TestErrorsAreLoggedUntilTheStop(t *testing.T) {
	server := start(t, t.TempDir())
	defer server.Stop()
	logger := server.etcd.GetLogger()
	for name, tc := range map[string]struct {
		message  string
		stopping bool
		want     bool
	}{
		"the end of serving, early":         {endOfServing, false, true},
		"the end of serving, asked for":     {endOfServing, true, false},
		"anything else":                     {"disk failure", false, true},
		"anything else, while it is ending": {"disk failure", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			server.stopping.Store(tc.stopping)
			for _, l := range []*zap.Logger{logger, logger.With(zap.Int("a", 1))} {
				if got := l.Check(zap.ErrorLevel, tc.message) != nil; got != tc.want {
					t.Errorf("logged: %t, want %t", got, tc.want)
				}
			}
		})
	}
}
