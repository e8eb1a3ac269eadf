// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	"bufio"
	"flag"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/test/framework"
)

// errorLine matches an error in the klog text format.
var errorLine = regexp.MustCompile(`^E\d{4} \S+ +\d+ (\S+\.go:\d+\] .*)`)

// errorsIn returns the error messages of a klog text log and their counts. A message may have several
// lines.
func errorsIn(log io.Reader) (map[string]int, error) {
	errors := map[string]int{}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := errorLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		message := m[1]
		for strings.HasSuffix(m[1], "=<") && lines.Scan() {
			message += "\n" + lines.Text()
			if strings.HasPrefix(lines.Text(), " >") {
				break
			}
		}
		errors[message]++
	}
	return errors, lines.Err()
}

// transient matches errors that a retry resolves: write conflicts, caches that lag behind the
// controller's own writes, and deleted Jobs and Pods. The first alternative is not an error:
// kube-controller-manager logs it if a flag is not set.
var transient = regexp.MustCompile(`The manifest file is empty, ignoring|the object has been modified|is not as new as written version|StorageError: invalid object.*Precondition failed|(jobs\.batch|pods) \\?"[a-z0-9-]+\\?" not found`)

// retriedIn135 matches an error that the Job controller of Kubernetes 1.35 gets from any API server: while
// it waits to create a Pod again, it writes that no Pod is active.
var retriedIn135 = regexp.MustCompile(`status\.ready: Invalid value: \d+: cannot set more ready pods than active`)

// classifyErrors returns the errors that are not transient, and the number of Job syncs that failed with
// a transient error.
func classifyErrors(errors map[string]int) (permanent map[string]int, retried int) {
	permanent = map[string]int{}
	for message, count := range errors {
		switch {
		case framework.ControlPlaneIs("1.35") && retriedIn135.MatchString(message):
			retried += count
		case !transient.MatchString(message):
			permanent[message] = count
		case strings.Contains(message, "syncing job: "):
			retried += count
		}
	}
	return permanent, retried
}

// checkLog fails the test if kube-controller-manager logged an error that is not transient, or a
// transient one more than 50 times. A run of all tests always has conflicts. If there are none, the log
// format has changed.
func checkLog(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	errors, err := errorsIn(file)
	if err != nil {
		t.Fatal(err)
	}
	permanent, retried := classifyErrors(errors)
	for message, count := range permanent {
		t.Errorf("kube-controller-manager logged %d times: %s", count, message)
	}
	for message, count := range errors {
		if count > 50 {
			t.Errorf("retries did not help, kube-controller-manager logged %d times: %s", count, message)
		}
	}
	if retried == 0 && flag.Lookup("test.run").Value.String() == "" {
		t.Error("found no conflicts in the log of the Job controller; has the log format changed?")
	}
	t.Logf("the Job controller retried %d syncs after transient errors", retried)
}

func TestClassifyErrors(t *testing.T) {
	const log = `I1128 06:31:48.000000    4242 job_controller.go:1] "syncing job: the object has been modified"
E1128 06:31:48.100000    4242 job_controller.go:631] "Unhandled Error" err="syncing job: Operation cannot be fulfilled on jobs.batch \"a\": the object has been modified"
E1128 06:31:48.200000    4242 job_controller.go:631] "Unhandled Error" err="syncing job: Operation cannot be fulfilled on jobs.batch \"a\": the object has been modified"
E1128 06:31:48.300000    4242 job_controller.go:631] "Unhandled Error" err=<
	syncing job: Job.batch "a" is invalid: 
	* spec.completions: Invalid value: 3
 >
E1128 06:31:48.400000       7 garbagecollector.go:358] "Error syncing item" err="jobs.batch \"a-1\" not found"
E1128 06:31:48.500000    4242 disruption.go:1] "panic"
W1128 06:31:48.600000    4242 other.go:1] "not an error"
`
	errors, err := errorsIn(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	permanent, retried := classifyErrors(errors)
	want := map[string]int{
		"job_controller.go:631] \"Unhandled Error\" err=<\n\tsyncing job: Job.batch \"a\" is invalid: \n\t* spec.completions: Invalid value: 3\n >": 1,
		`disruption.go:1] "panic"`: 1,
	}
	if diff := cmp.Diff(want, permanent); diff != "" {
		t.Errorf("permanent errors (-want +got):\n%s", diff)
	}
	if retried != 2 {
		t.Errorf("got %d retried syncs, want 2", retried)
	}
}
