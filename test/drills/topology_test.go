package drills

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"sigs.k8s.io/yaml"
)

// openEtcd connects to an etcd, with TLS where there is a CA.
func openEtcd(t *testing.T, endpoints []string, caFile, certFile, keyFile string) *clientv3.Client {
	t.Helper()
	config := clientv3.Config{Endpoints: endpoints}
	if caFile != "" {
		info := transport.TLSInfo{TrustedCAFile: caFile, CertFile: certFile, KeyFile: keyFile}
		var err error
		if config.TLS, err = info.ClientConfig(); err != nil {
			t.Fatal(err)
		}
	}
	client, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// hasJobKey reports whether an etcd holds a Job of the drill's namespace.
func (d *drill) hasJobKey(etcd *clientv3.Client, name string) bool {
	d.t.Helper()
	response, err := etcd.Get(d.t.Context(), "/registry/jobs/"+d.namespace+"/"+name)
	if err != nil {
		d.t.Fatal(err)
	}
	return response.Count == 1
}

// kubectl runs kubectl in the drill's namespace.
func (d *drill) kubectl(args ...string) error {
	_, _, err := d.Kubectl().Run(d.t.Context(), append([]string{"--namespace=" + d.namespace}, args...)...)
	return err
}

// createJob creates a Job that ends by itself, once it is resumed.
func (d *drill) createJob(name string) {
	d.t.Helper()
	job := newJob(name)
	job.APIVersion, job.Kind = "batch/v1", "Job"
	content, err := yaml.Marshal(job)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, _, err := d.Kubectl().WithStdin(string(content)).Run(d.t.Context(), "--namespace="+d.namespace, "create", "--filename=-"); err != nil {
		d.t.Fatal(err)
	}
}

// awaitComplete waits until the Job controller has brought a Job to its end.
func (d *drill) awaitComplete(name string) {
	d.t.Helper()
	if err := d.kubectl("wait", "job", name, "--for=condition=Complete", "--timeout=120s"); err != nil {
		d.t.Fatal(err)
	}
}

// runGatedJob takes a Job through its life: created, patched where that is allowed, refused
// where it is not, and run to its end.
func (d *drill) runGatedJob(name string) {
	d.t.Helper()
	d.createJob(name)
	if err := d.kubectl("patch", "job", name, "--type=merge", `--patch={"metadata":{"labels":{"tier":"drill"}},"spec":{"completions":2}}`); err != nil {
		d.t.Error(err)
	}
	err := d.kubectl("annotate", "job", name, "by=drill")
	if err == nil || !strings.Contains(err.Error(), "Forbidden: may not be updated") {
		d.t.Errorf("an annotation is not refused: %v", err)
	}
	d.awaitComplete(name)
}

// storedIn checks that a Job is in the first of two etcds and not in the other.
func (d *drill) storedIn(right, wrong *clientv3.Client, name string) {
	d.t.Helper()
	if !d.hasJobKey(right, name) {
		d.t.Errorf("Job %s is not in the etcd that it belongs to", name)
	}
	if d.hasJobKey(wrong, name) {
		d.t.Errorf("Job %s is in the wrong etcd", name)
	}
}

// hashes returns the revision and hash of the keys of each member of an etcd, as one string
// if they agree.
func hashes(ctx context.Context, etcd *clientv3.Client) (string, error) {
	response, err := etcd.Get(ctx, "any", clientv3.WithCountOnly())
	if err != nil {
		return "", err
	}
	seen := map[string]bool{}
	var last string
	for _, endpoint := range etcd.Endpoints() {
		hash, err := etcd.HashKV(ctx, endpoint, response.Header.Revision)
		if err != nil {
			return "", err
		}
		last = fmt.Sprintf("cluster %x, hash %x at %d, compacted %d", hash.Header.ClusterId, hash.Hash, hash.HashRevision, hash.CompactRevision)
		seen[last] = true
	}
	if len(seen) != 1 {
		return "", errors.New(fmt.Sprint("the members differ: ", seen))
	}
	return last, nil
}
