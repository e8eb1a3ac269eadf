package framework

import "time"

// failer is the part of testing.TB that Eventually needs: the framework is for programs too.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Eventually waits until check returns nil. It ends the test after patience, with what was
// waited for and the last error.
func Eventually(t failer, patience time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s to %s: %v", patience, what, err)
		}
		time.Sleep(pollInterval)
	}
}
