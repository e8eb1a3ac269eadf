// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/test/framework"
	"github.com/batchgate/batchgate/test/node"
)

// waitTimeout bounds each wait. A replica that hangs restarts after a minute.
const waitTimeout = 3 * time.Minute

// admin is a cluster admin at a shell, in a directory with the files of the release.
type admin struct {
	t       *testing.T
	cluster *node.Cluster
	dir     string
}

// newAdmin starts a cluster for one test, which runs in parallel with others, and imports the images.
func newAdmin(t *testing.T, options node.Options) admin {
	t.Helper()
	t.Parallel()
	options.Dir, options.Programs = t.TempDir(), programs
	cluster, err := node.Start(t.Context(), options)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(cluster.LogTails())
		}
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	a := admin{t: t, cluster: cluster, dir: t.TempDir()}
	for _, n := range cluster.Nodes {
		if err := n.ImportImages(t.Context(), images...); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(a.dir, os.DirFS(release)); err != nil {
		t.Fatal(err)
	}
	a.sh("tar -xzf kubectl-batchgate_*.tar.gz kubectl-batchgate")
	return a
}

// sh runs a script in the directory of the release and the network of the first node. The variable
// ETCD has the URL of the cluster's etcd. It returns the standard output, without space around it.
func (a admin) sh(script string) string {
	a.t.Helper()
	stdout, err := a.try(script)
	if err != nil {
		a.t.Fatal(err)
	}
	return stdout
}

// try is like sh, but returns an error, which contains the output of the script.
func (a admin) try(script string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := a.cluster.Nodes[0].InNetwork(a.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = a.dir
	for i, variable := range cmd.Env {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok {
			cmd.Env[i] = "PATH=" + a.dir + ":" + path
		}
	}
	cmd.Env = append(cmd.Env, "ETCD="+node.EtcdURL)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// If the test ends early, so do the programs that the script has started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := framework.OnPersistentThread(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", script, err, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// denied runs a script that must fail with an error that contains all texts.
func (a admin) denied(script string, texts ...string) {
	a.t.Helper()
	_, err := a.try(script)
	if err == nil {
		a.t.Fatalf("%s succeeded", script)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			a.t.Errorf("the error does not contain %q: %v", text, err)
		}
	}
}

// writeEtcdCertificate writes the files etcd-ca.crt, etcd-client.crt and etcd-client.key. A CA signs the
// client's certificate.
func (a admin) writeEtcdCertificate(ca *pki.Authority) {
	a.t.Helper()
	template := x509.Certificate{Subject: pkix.Name{CommonName: framework.Name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if err := ca.SignFiles(filepath.Join(a.dir, "etcd-client.crt"), filepath.Join(a.dir, "etcd-client.key"), template); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, "etcd-ca.crt"), a.cluster.EtcdCA().CertPEM, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// jobs returns helpers for the Jobs of a new namespace.
func (a admin) jobs() framework.Jobs {
	a.t.Helper()
	j := framework.Jobs{T: a.t, Client: a.cluster.Client, Timeout: waitTimeout}
	j.Namespace = j.CreateNamespace(metav1.ObjectMeta{GenerateName: "jobs-"})
	return j
}
