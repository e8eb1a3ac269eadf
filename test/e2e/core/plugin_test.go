package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/test/framework"
)

// buildPlugin builds kubectl-batchgate once.
var buildPlugin = sync.OnceValues(func() (string, error) {
	root, err := framework.Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(cluster.Dir, "bin", "kubectl-batchgate")
	build := exec.Command("go", "build", "-o", binary, "./cmd/kubectl-batchgate")
	build.Dir = root
	output, err := build.CombinedOutput()
	if err != nil {
		err = errors.New(string(output))
	}
	return binary, err
})

// plugin runs kubectl batchgate, as kubectl finds it on the path, and returns its exit code.
func (s session) plugin(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	binary, err := buildPlugin()
	if err != nil {
		s.t.Fatalf("building the plugin: %v", err)
	}
	kubectl := s.kubectl.WithEnv("PATH", filepath.Dir(binary)+":"+os.Getenv("PATH"))
	direct, err := url.Parse(cluster.DirectConfig().Host)
	if err != nil {
		s.t.Fatal(err)
	}
	// No kubelet forwards a port here, and the Service has the port of the process.
	all := append([]string{"batchgate"}, args...)
	if !strings.Contains(strings.Join(args, " "), "--batchgate-server") {
		all = append(all, "--batchgate-server="+direct.Host)
	}
	if !strings.Contains(strings.Join(args, " "), "--service-port") {
		all = append(all, "--service-port="+direct.Port())
	}
	stdout, stderr, err = kubectl.Run(s.t.Context(), all...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stdout, stderr, exit.ExitCode()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return stdout, stderr, 0
}

// expectPlugin runs the plugin, which must end with the code and print the texts.
func (s session) expectPlugin(code int, args []string, texts ...string) string {
	s.t.Helper()
	stdout, stderr, got := s.plugin(args...)
	if got != code {
		s.t.Fatalf("kubectl batchgate %s ended with %d, want %d:\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	for _, text := range texts {
		if !strings.Contains(stdout+stderr, text) {
			s.t.Errorf("kubectl batchgate %s does not say %q:\n%s%s", strings.Join(args, " "), text, stdout, stderr)
		}
	}
	return stdout
}

func (s session) apiService() string {
	s.t.Helper()
	return s.run("get", "apiservice", "v1.batch", "--output=jsonpath={.metadata.labels}{.spec}")
}

func TestPluginTakesOverAndRollsBack(t *testing.T) {
	s := disrupt(t)
	rolledBack(t)
	s.eventually("be served by kube-apiserver", func() error { return native(s) })
	before := s.apiService()

	s.expectPlugin(0, []string{"takeover", "--dry-run"}, "would point v1.batch to batchgate-system/batchgate-apiserver", "kubectl batchgate rollback")
	if after := s.apiService(); after != before {
		t.Fatalf("a dry run has changed the APIService from\n%s\nto\n%s", before, after)
	}
	s.expectPlugin(0, []string{"status"}, "served by kube-apiserver", "True (Local)", "all ready")
	s.expectPlugin(0, []string{"takeover"},
		"the same", "certificate valid until", "v1.batch points to batchgate-system/batchgate-apiserver", "to undo it: kubectl batchgate rollback", "objects through kube-apiserver")
	s.expectPlugin(0, []string{"takeover"}, "v1.batch is served by batchgate-system/batchgate-apiserver already")
	s.refused([]string{"annotate", "job", "pi", "a=b"}, "may not be updated")
	s.expectPlugin(2, []string{"takeover", "--service-port=1"}, "give --service-port=")
	s.expectPlugin(0, []string{"status"}, "served by batchgate-system/batchgate-apiserver", "True (Passed)", ", ready", "expires at")
	var status struct {
		APIService struct{ Available string }
		Batchgate  struct{ Ready bool }
		Policies   int
	}
	if err := json.Unmarshal([]byte(s.expectPlugin(0, []string{"status", "--output=json"})), &status); err != nil {
		t.Fatal(err)
	}
	if status.APIService.Available != "True" || !status.Batchgate.Ready || status.Policies < 2 {
		t.Errorf("the status is %+v", status)
	}

	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	s.expectPlugin(1, []string{"status"}, "not reachable", "Batchgate is not ready, or could not be reached")
	s.expectPlugin(0, []string{"rollback"}, "v1.batch points to kube-apiserver", "jobs through kube-apiserver", "no longer asks Batchgate")
	s.run("annotate", "job", "pi", "a=b")
	s.discovering().run("get", "job", "pi")
	s.expectPlugin(0, []string{"rollback"}, "served by kube-apiserver already")
	if after := s.apiService(); after != before {
		t.Errorf("rolled back, the APIService is\n%s\nbefore it was\n%s", after, before)
	}
	s.expectPlugin(0, []string{"status"}, "not reachable")
}

// A takeover that cannot end well must not begin.
func TestPluginRefusesATakeoverThatCannotWork(t *testing.T) {
	s := disrupt(t)
	rolledBack(t)
	s.eventually("be served by kube-apiserver", func() error { return native(s) })
	before := s.apiService()
	other, err := pki.LoadOrCreate(filepath.Join(t.TempDir(), "ca.crt"), filepath.Join(t.TempDir(), "ca.key"), "other")
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "other.crt")
	if err := os.WriteFile(ca, other.CertPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args  []string
		texts []string
	}{
		"a wrong CA":       {[]string{"takeover", "--ca-file=" + ca}, []string{"certificate signed by unknown authority", "nothing was changed"}},
		"no CA in a file":  {[]string{"takeover", "--ca-file=/dev/null"}, []string{"has no certificate in PEM"}},
		"a missing file":   {[]string{"takeover", "--ca-file=/nowhere"}, []string{"reading --ca-file"}},
		"a wrong service":  {[]string{"takeover", "--service=other"}, []string{"give it with --ca-file"}},
		"an unknown form":  {[]string{"takeover", "--output=xml"}, []string{"must be json or yaml"}},
		"a wrong argument": {[]string{"takeover", "--ca-file=" + ca, "--output=json"}, []string{`"error": "`}},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			s.expectPlugin(2, tc.args, tc.texts...)
		})
	}
	s.t = t
	reader := s.as("reader-" + s.namespace)
	reader.expectPlugin(2, []string{"takeover", "--ca-file=" + ca}, "get apiservices, patch apiservices, delete apiservices", "nothing was changed")
	if err := cluster.Batchgate.Stop(); err != nil {
		t.Fatal(err)
	}
	s.expectPlugin(2, []string{"takeover"}, "connecting to Batchgate at", "connection refused", "nothing was changed")
	if after := s.apiService(); after != before {
		t.Errorf("refused, and yet the APIService is\n%s\nbefore it was\n%s", after, before)
	}
}

// The Service's port is wrong here, which is seen only once kube-apiserver goes by it.
func TestPluginRollsBackATakeoverThatDoesNotWork(t *testing.T) {
	s := disrupt(t)
	rolledBack(t)
	s.eventually("be served by kube-apiserver", func() error { return native(s) })
	before := s.apiService()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, cluster.DirectConfig().CAData, 0o600); err != nil {
		t.Fatal(err)
	}
	s.expectPlugin(3, []string{"takeover", "--ca-file=" + ca, "--service-port=1", "--timeout=10s"},
		"is not available", "v1.batch points to kube-apiserver", "the takeover was rolled back")
	if after := s.apiService(); after != before {
		t.Errorf("the APIService is\n%s\nbefore it was\n%s", after, before)
	}
	s.run("annotate", "job", "pi", "a=b", "--overwrite")
}

func TestPluginMakesADeletedAPIServiceAnew(t *testing.T) {
	s := disrupt(t)
	rolledBack(t)
	s.eventually("be served by kube-apiserver", func() error { return native(s) })
	before := s.apiService()
	s.run("delete", "apiservice", "v1.batch")
	s.expectPlugin(1, []string{"status"}, "kubectl batchgate rollback recreates it")
	s.expectPlugin(0, []string{"rollback"}, "v1.batch was missing and is recreated for kube-apiserver")
	if after := s.apiService(); after != before {
		t.Errorf("the APIService is\n%s\nbefore it was\n%s", after, before)
	}
	groups, err := cluster.Client.Discovery().ServerGroups()
	if err != nil {
		t.Fatal(err)
	}
	var names bytes.Buffer
	for _, g := range groups.Groups {
		names.WriteString(g.Name + " ")
	}
	if !strings.Contains(names.String(), "batch ") {
		t.Errorf("the groups are %s", names.String())
	}
	if _, err := cluster.Client.BatchV1().Jobs(s.namespace).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}
