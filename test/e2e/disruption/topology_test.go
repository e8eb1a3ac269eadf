package disruption

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

// refusal is in the message of an update that the gate refuses.
const refusal = "Forbidden: may not be updated"

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

// isStored reports whether an etcd holds a Job or CronJob of the drill's namespace.
func (d *drill) isStored(etcd *clientv3.Client, resource, name string) bool {
	d.t.Helper()
	response, err := etcd.Get(d.t.Context(), "/registry/"+resource+"/"+d.namespace+"/"+name)
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

// createJob creates a Job that ends by itself.
func (d *drill) createJob(name string) {
	d.t.Helper()
	job := newJob(name)
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
	if err == nil || !strings.Contains(err.Error(), refusal) {
		d.t.Errorf("an annotation is not refused: %v", err)
	}
	d.awaitComplete(name)
}

// takeOverAndBack takes over where etcd is shared: Jobs from before, from then and from after
// the rollback are there all the time, and run to their ends. It calls stored for each.
func (d *drill) takeOverAndBack(stored func(name string)) {
	d.t.Helper()
	d.createJob("before")
	d.awaitComplete("before")
	if err := d.TakeOver(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	if err := d.kubectl("annotate", "job", "before", "by=drill"); err == nil || !strings.Contains(err.Error(), refusal) {
		d.t.Errorf("an annotation is not refused: %v", err)
	}
	d.runGatedJob("taken-over")
	if err := d.RollBack(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	d.eventually("be served by kube-apiserver", func() error { return d.kubectl("annotate", "--overwrite", "job", "taken-over", "by=drill") })
	d.createJob("after")
	d.awaitComplete("after")
	for _, name := range []string{"before", "taken-over", "after"} {
		stored(name)
	}
}

// storedIn checks that a Job or CronJob is in the first of two etcds and not in the other.
func (d *drill) storedIn(right, wrong *clientv3.Client, resource, name string) {
	d.t.Helper()
	if !d.isStored(right, resource, name) {
		d.t.Errorf("%s/%s is not in the etcd that it belongs to", resource, name)
	}
	if d.isStored(wrong, resource, name) {
		d.t.Errorf("%s/%s is in the wrong etcd", resource, name)
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
