// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/batchgate/batchgate/test/framework"
)

// rotation is a control plane in which kube-apiserver and Batchgate both serve the encrypted Jobs of
// one etcd.
type rotation struct {
	*scenario

	etcd    *clientv3.Client
	clients map[string]kubernetes.Interface
	// created counts the Jobs. All of them must stay readable.
	created int
}

const (
	kubeAPIServer = "kube-apiserver"
	batchgate     = "Batchgate"
)

// encryptedPrefix begins each encrypted value in etcd. The name of its key follows.
const encryptedPrefix = "k8s:enc:secretbox:v1:"

// use restarts a server with keys. It encrypts with the first one.
func (r *rotation) use(server string, keys ...string) {
	r.t.Helper()
	config := "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n" +
		"- resources: [jobs.batch, cronjobs.batch, jobupdatepolicies.policy.batchgate.io]\n  providers:\n  - secretbox:\n      keys:\n"
	for _, key := range keys {
		secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(key[:1]), 32))
		config += fmt.Sprintf("      - {name: %s, secret: %s}\n", key, secret)
	}
	config += "  - identity: {}\n"
	file := filepath.Join(r.Dir, "encryption-"+server+".yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		r.t.Fatal(err)
	}
	arg := "--encryption-provider-config=" + file
	var err error
	if server == kubeAPIServer {
		err = r.RestartKubeAPIServer(r.t.Context(), r.APIServers[0], arg)
	} else {
		err = r.RestartBatchgate(r.t.Context(), arg)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// create creates a Job through a server, which must encrypt it with the key.
func (r *rotation) create(server, key string) string {
	r.t.Helper()
	r.created++
	job := framework.NewJob(fmt.Sprintf("job-%d", r.created), framework.Hold)
	if _, err := r.clients[server].BatchV1().Jobs(r.namespace).Create(r.t.Context(), job, metav1.CreateOptions{}); err != nil {
		r.t.Fatalf("%s: %v", server, err)
	}
	value := r.stored()[job.Name]
	if !strings.HasPrefix(value, encryptedPrefix+key+":") {
		r.t.Errorf("%s stored %.40q, want a value with the key %s", server, value, key)
	}
	return job.Name
}

// stored returns the values of all Jobs in etcd by name.
func (r *rotation) stored() map[string]string {
	r.t.Helper()
	prefix := "/registry/jobs/" + r.namespace + "/"
	response, err := r.etcd.Get(r.t.Context(), prefix, clientv3.WithPrefix())
	if err != nil {
		r.t.Fatal(err)
	}
	values := map[string]string{}
	for _, kv := range response.Kvs {
		values[strings.TrimPrefix(string(kv.Key), prefix)] = string(kv.Value)
	}
	return values
}

// check creates a Job through each server, and reads, lists and updates all Jobs through both. keys
// has the name of the key with which each server encrypts.
func (r *rotation) check(keys map[string]string) {
	r.t.Helper()
	for _, server := range []string{kubeAPIServer, batchgate} {
		r.create(server, keys[server])
	}
	for server, client := range r.clients {
		jobs := client.BatchV1().Jobs(r.namespace)
		list, err := jobs.List(r.t.Context(), metav1.ListOptions{})
		if err != nil {
			r.t.Fatalf("%s: %v", server, err)
		}
		if len(list.Items) != r.created {
			r.t.Errorf("%s lists %d Jobs, want %d", server, len(list.Items), r.created)
		}
		for i := range r.created {
			name := fmt.Sprintf("job-%d", i+1)
			if _, err := jobs.Get(r.t.Context(), name, metav1.GetOptions{}); err != nil {
				r.t.Errorf("%s: %v", server, err)
			}
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{"round":"%d"}}}`, r.created)
			if _, err := jobs.Patch(r.t.Context(), name, "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
				r.t.Errorf("%s: %v", server, err)
			}
		}
	}
}

// docs/tasks/rotate-encryption-keys.md has this order.
func TestEncryptionKeyRotationWithTwoServers(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{})
	s.install()
	direct, err := kubernetes.NewForConfig(s.DirectConfig())
	if err != nil {
		t.Fatal(err)
	}
	// Without a takeover, kube-apiserver serves Jobs itself.
	r := &rotation{scenario: s, etcd: s.clusterEtcd(), clients: map[string]kubernetes.Interface{kubeAPIServer: s.Client, batchgate: direct}}
	keys := map[string]string{kubeAPIServer: "old", batchgate: "old"}
	r.use(batchgate, "old")
	r.use(kubeAPIServer, "old")
	r.check(keys)
	untouched := r.create(kubeAPIServer, "old")

	for _, server := range []string{batchgate, kubeAPIServer} {
		r.use(server, "old", "new")
		r.check(keys)
	}
	for _, server := range []string{batchgate, kubeAPIServer} {
		r.use(server, "new", "old")
		keys[server] = "new"
		r.check(keys)
	}
	// After a takeover, the rewrite goes through the gate.
	s.takeOver()
	policies := r.rewrite()
	if err := s.RollBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.eventually("be served by kube-apiserver", func() error { return s.kubectl("annotate", "--overwrite", "job", untouched, "by=test") })
	for name, value := range r.stored() {
		if !strings.HasPrefix(value, encryptedPrefix+"new:") {
			t.Errorf("after the rewrite, %s is stored as %.40q", name, value)
		}
	}
	if value := r.stored()[untouched]; value == "" {
		t.Errorf("%s is gone", untouched)
	}
	if policies == 0 {
		t.Error("no policy was rewritten")
	}
	for _, server := range []string{batchgate, kubeAPIServer} {
		r.use(server, "new")
		r.check(keys)
	}

	// The order matters: a server that does not know a key cannot read what the other one writes.
	r.use(kubeAPIServer, "third", "new")
	name := r.create(kubeAPIServer, "third")
	if _, err := direct.BatchV1().Jobs(s.namespace).Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsInternalError(err) {
		t.Errorf("Batchgate read a Job without its key: %v", err)
	}
	r.use(batchgate, "new", "third")
	r.check(map[string]string{kubeAPIServer: "third", batchgate: "new"})
}

// rewrite stores all objects again, and returns the number of policies.
func (r *rotation) rewrite() (policies int) {
	r.t.Helper()
	for _, resources := range []string{"jobs,cronjobs", "jobupdatepolicies"} {
		// A replace fails if a controller has updated an object meanwhile.
		r.eventually("replace all "+resources, func() error {
			objects, _, err := r.Kubectl().Run(r.t.Context(), "get", resources, "--all-namespaces", "--output=json")
			if err != nil {
				return err
			}
			_, _, err = r.Kubectl().WithStdin(objects).Run(r.t.Context(), "replace", "--filename=-")
			return err
		})
	}
	response, err := r.etcd.Get(r.t.Context(), "/registry/policy.batchgate.io/jobupdatepolicies/", clientv3.WithPrefix())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, kv := range response.Kvs {
		if !strings.HasPrefix(string(kv.Value), encryptedPrefix+"new:") {
			r.t.Errorf("after the rewrite, %s is stored as %.40q", kv.Key, kv.Value)
		}
	}
	return len(response.Kvs)
}
