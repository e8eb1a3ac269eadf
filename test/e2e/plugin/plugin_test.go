package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/test/e2e/internal/session"
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
func plugin(s session.Session, args ...string) (stdout, stderr string, code int) {
	s.T.Helper()
	binary, err := buildPlugin()
	if err != nil {
		s.T.Fatalf("building the plugin: %v", err)
	}
	kubectl := s.Kubectl.WithEnv("PATH", filepath.Dir(binary)+":"+os.Getenv("PATH"))
	direct, err := url.Parse(cluster.DirectConfig().Host)
	if err != nil {
		s.T.Fatal(err)
	}
	// No kubelet forwards a port here, and the Service has the port of the process.
	all := append([]string{"batchgate"}, args...)
	if !strings.Contains(strings.Join(args, " "), "--batchgate-server") {
		all = append(all, "--batchgate-server="+direct.Host)
	}
	if !strings.Contains(strings.Join(args, " "), "--service-port") {
		all = append(all, "--service-port="+direct.Port())
	}
	stdout, stderr, err = kubectl.Run(s.T.Context(), all...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stdout, stderr, exit.ExitCode()
	}
	if err != nil {
		s.T.Fatal(err)
	}
	return stdout, stderr, 0
}

// expectPlugin runs the plugin, which must end with the code and print the texts.
func expectPlugin(s session.Session, code int, args []string, texts ...string) string {
	s.T.Helper()
	stdout, stderr, got := plugin(s, args...)
	if got != code {
		s.T.Fatalf("kubectl batchgate %s ended with %d, want %d:\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	for _, text := range texts {
		if !strings.Contains(stdout+stderr, text) {
			s.T.Errorf("kubectl batchgate %s does not say %q:\n%s%s", strings.Join(args, " "), text, stdout, stderr)
		}
	}
	return stdout
}

func apiService(s session.Session) string {
	s.T.Helper()
	return s.Run("get", "apiservice", "v1.batch", "--output=jsonpath={.metadata.labels}{.spec}")
}

func TestPluginTakesOverAndRollsBack(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := apiService(s)

	expectPlugin(s, 0, []string{"takeover", "--dry-run"}, "would give v1.batch to batchgate-system/batchgate-apiserver", "kubectl batchgate rollback")
	if after := apiService(s); after != before {
		t.Fatalf("a dry run has changed the APIService from\n%s\nto\n%s", before, after)
	}
	expectPlugin(s, 0, []string{"status"}, "served by kube-apiserver", "True (Local)", "all ready")
	expectPlugin(s, 0, []string{"takeover"},
		"the same", "certificate until", "v1.batch is given to batchgate-system/batchgate-apiserver", "to undo it: kubectl batchgate rollback", "objects through kube-apiserver")
	expectPlugin(s, 0, []string{"takeover"}, "v1.batch is served by batchgate-system/batchgate-apiserver already")
	s.ExpectError([]string{"annotate", "job", "pi", "a=b"}, "may not be updated")
	expectPlugin(s, 2, []string{"takeover", "--service-port=1"}, "give --service-port=")
	expectPlugin(s, 0, []string{"status"}, "served by batchgate-system/batchgate-apiserver", "True (Passed)", ", ready", "expires at")
	var status struct {
		Serving   struct{ Available string }
		Batchgate struct{ Ready bool }
		Policies  int
	}
	if err := json.Unmarshal([]byte(expectPlugin(s, 0, []string{"status", "--output=json"})), &status); err != nil {
		t.Fatal(err)
	}
	if status.Serving.Available != "True" || !status.Batchgate.Ready || status.Policies < 2 {
		t.Errorf("the status is %+v", status)
	}

	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	expectPlugin(s, 1, []string{"status"}, "not reached", "Batchgate is not ready, or was not reached")
	expectPlugin(s, 0, []string{"rollback"}, "v1.batch is given to kube-apiserver", "jobs through kube-apiserver", "asks Batchgate no more")
	s.Run("annotate", "job", "pi", "a=b")
	s.WithoutDiscoveryCache().Run("get", "job", "pi")
	expectPlugin(s, 0, []string{"rollback"}, "served by kube-apiserver already")
	if after := apiService(s); after != before {
		t.Errorf("rolled back, the APIService is\n%s\nbefore it was\n%s", after, before)
	}
	expectPlugin(s, 0, []string{"status"}, "not reached")
}

// A takeover that cannot end well must not begin.
func TestPluginRefusesATakeoverThatCannotWork(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := apiService(s)
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
		"an unknown form":  {[]string{"takeover", "--output=xml"}, []string{"it must be json or yaml"}},
		"a wrong argument": {[]string{"takeover", "--ca-file=" + ca, "--output=json"}, []string{`"error": "`}},
	} {
		t.Run(name, func(t *testing.T) {
			s.T = t
			expectPlugin(s, 2, tc.args, tc.texts...)
		})
	}
	s.T = t
	reader := s.As("reader-" + s.Namespace)
	expectPlugin(reader, 2, []string{"takeover", "--ca-file=" + ca}, "get apiservices, patch apiservices, delete apiservices", "nothing was changed")
	if err := cluster.Batchgate.Stop(); err != nil {
		t.Fatal(err)
	}
	expectPlugin(s, 2, []string{"takeover"}, "connecting to Batchgate at", "connection refused", "nothing was changed")
	if after := apiService(s); after != before {
		t.Errorf("refused, and yet the APIService is\n%s\nbefore it was\n%s", after, before)
	}
}

// The Service's port is wrong here, which is seen only once kube-apiserver goes by it.
func TestPluginRollsBackATakeoverThatDoesNotWork(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := apiService(s)
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, cluster.DirectConfig().CAData, 0o600); err != nil {
		t.Fatal(err)
	}
	expectPlugin(s, 3, []string{"takeover", "--ca-file=" + ca, "--service-port=1", "--timeout=10s"},
		"is not available", "v1.batch is given to kube-apiserver", "the takeover was rolled back")
	if after := apiService(s); after != before {
		t.Errorf("the APIService is\n%s\nbefore it was\n%s", after, before)
	}
	s.Run("annotate", "job", "pi", "a=b", "--overwrite")
}

func TestPluginMakesADeletedAPIServiceAnew(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := apiService(s)
	s.Run("delete", "apiservice", "v1.batch")
	expectPlugin(s, 1, []string{"status"}, "kubectl batchgate rollback makes it anew")
	expectPlugin(s, 0, []string{"rollback"}, "v1.batch was missing, and is made anew for kube-apiserver")
	if after := apiService(s); after != before {
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
	if _, err := cluster.Client.BatchV1().Jobs(s.Namespace).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

// kube-apiserver asks an aggregated server for its part of discovery even when it is not one any
// more. Clients that have not cached discovery find no Jobs once that server is down.
func TestRollbackByPatchLeavesDiscoveryToBatchgateUntilTheAPIServiceIsMadeAnew(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := apiService(s)
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	stale := "kube-apiserver still asks Batchgate: run kubectl batchgate rollback"
	s.Eventually("miss Jobs in discovery", func() error {
		_, _, err := s.WithoutDiscoveryCache().Try("get", "job", "pi")
		if err == nil || !strings.Contains(err.Error(), "doesn't have a resource type") {
			return fmt.Errorf("kubectl says: %w", err)
		}
		return nil
	})
	expectPlugin(s, 1, []string{"status"}, stale)
	s.Run("delete", "apiservice", "v1.batch")
	s.Eventually("have them in discovery again", func() error {
		_, _, err := s.WithoutDiscoveryCache().Try("get", "job", "pi")
		return err
	})
	s.Run("create", "--filename=artifacts/apiservice/rollback/apiservice.yaml")
	s.Eventually("be as before", func() error {
		if got := apiService(s); got != before {
			return fmt.Errorf("the APIService is %s", got)
		}
		return nil
	})
	s.WithoutDiscoveryCache().Run("get", "job", "pi")
	expectPlugin(s, 0, []string{"status"}, "served by kube-apiserver")
}
