package framework

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// UpstreamTests are Kubernetes' own end-to-end tests, and what runs them.
type UpstreamTests struct{ directory string }

// BuildUpstreamTests builds them where they are missing, which takes minutes.
func BuildUpstreamTests(ctx context.Context) (UpstreamTests, error) {
	root, err := Root()
	if err != nil {
		return UpstreamTests{}, err
	}
	directory, err := script(ctx, filepath.Join(root, "hack", "build-tools.sh"), "-m", "e2e")
	return UpstreamTests{directory: directory}, err
}

// Version is the release of Kubernetes that they are from.
func (u UpstreamTests) Version(ctx context.Context) (string, error) {
	version, err := exec.CommandContext(ctx, u.tests(), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", u.tests(), err)
	}
	return string(bytes.TrimSpace(version)), nil
}

// Run runs ginkgo with the arguments on the cluster, as the user of the kubeconfig, and returns
// once it has ended. It is no error if tests fail: that is in ginkgo's report, report.json in
// the directory. The log beside it is for people.
func (u UpstreamTests) Run(ctx context.Context, c *Cluster, kubeconfig, directory string, args ...string) error {
	log, err := os.Create(filepath.Join(directory, "ginkgo.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	args = append([]string{"run", "--no-color", "--output-dir=" + directory, "--json-report=report.json"}, args...)
	args = append(args, u.tests(), "--",
		"--provider=skeleton",
		"--kubeconfig="+kubeconfig,
		"--kubectl-path="+c.tool("kubectl"),
		fmt.Sprintf("--num-nodes=%d", len(nodeNames)),
		"--dump-logs-on-failure=false",
	)
	cmd := exec.CommandContext(ctx, filepath.Join(u.directory, "ginkgo"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = directory, log, log
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+filepath.Join(directory, "kubectl-cache"), "HOME="+directory, "TMPDIR="+directory)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	// It has started others, which are in its group.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = onLastingThread(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if _, statErr := os.Stat(filepath.Join(directory, "report.json")); statErr != nil {
		return fmt.Errorf("running ginkgo: %w, without a report; see %s", err, log.Name())
	}
	return nil
}

func (u UpstreamTests) tests() string { return filepath.Join(u.directory, "e2e.test") }
