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
)

// errorLine matches an error in klog's form.
var errorLine = regexp.MustCompile(`^E\d{4} \S+ +\d+ (\S+\.go:\d+\] .*)`)

// errorsIn returns the errors of a log in klog's form, with how often each was logged. One that
// has several lines is one error.
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

// transient matches errors that go away by trying again: conflicts with another writer, caches
// that lag behind a write of their own, and Jobs that are deleted in the meantime. The first
// is none: with it kube-controller-manager says that a flag is not set.
var transient = regexp.MustCompile(`The manifest file is empty, ignoring|the object has been modified|is not as new as written version|StorageError: invalid object.*Precondition failed|jobs\.batch \\?"[a-z0-9-]+\\?" not found`)

// judge splits errors of kube-controller-manager: those that must not be, and how often a sync
// of a Job met a transient one.
func judge(errors map[string]int) (permanent map[string]int, retried int) {
	permanent = map[string]int{}
	for message, count := range errors {
		switch {
		case !transient.MatchString(message):
			permanent[message] = count
		case strings.Contains(message, "syncing job: "):
			retried += count
		}
	}
	return permanent, retried
}

// checkLog fails the test for errors of kube-controller-manager other than transient ones, and for
// one of these that comes again and again. But with -run, it must find some: hundreds of Jobs are
// not run without a conflict.
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
	permanent, retried := judge(errors)
	for message, count := range permanent {
		t.Errorf("kube-controller-manager has logged %d times: %s", count, message)
	}
	for message, count := range errors {
		if count > 50 {
			t.Errorf("kube-controller-manager has logged %d times, and so in vain: %s", count, message)
		}
	}
	if retried == 0 && flag.Lookup("test.run").Value.String() == "" {
		t.Error("the Job controller has logged no conflict: does it log errors in another form?")
	}
	t.Logf("the Job controller has tried again %d times after a conflict", retried)
}

func TestErrorsOfALogAreToldApart(t *testing.T) {
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
	permanent, retried := judge(errors)
	want := map[string]int{
		"job_controller.go:631] \"Unhandled Error\" err=<\n\tsyncing job: Job.batch \"a\" is invalid: \n\t* spec.completions: Invalid value: 3\n >": 1,
		`disruption.go:1] "panic"`: 1,
	}
	if diff := cmp.Diff(want, permanent); diff != "" {
		t.Errorf("permanent errors (-want +got):\n%s", diff)
	}
	if retried != 2 {
		t.Errorf("%d syncs of Jobs were tried again, want 2", retried)
	}
}
