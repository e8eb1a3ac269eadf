// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/framework"
)

// noRoute makes kube-apiserver connect to Services through a proxy that does not exist.
const noRoute = `
apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: /nonexistent
`

// checkGatedBy returns an error unless the gate denies a forbidden update through a kube-apiserver.
func (s *scenario) checkGatedBy(server *framework.KubeAPIServer, job string) error {
	client, err := server.Client()
	if err != nil {
		return err
	}
	return checkDenied(s.updateForbidden(s.t.Context(), client, job))
}

// Two kube-apiservers behind a load balancer are restarted in turn while clients write.
func TestTwoKubeAPIServersRestart(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{APIServers: 2})
	s.install()
	s.plugin(0, "takeover").has("every kube-apiserver")
	s.createHeld("pi", 1, 2)
	load := s.inNamespace(t, "load").startLoad()
	for _, restarted := range s.APIServers {
		for _, server := range s.APIServers {
			if err := s.checkGatedBy(server, "pi"); err != nil {
				t.Errorf("%s: %v", server.Name, err)
			}
		}
		accepted, denied := s.hammer("pi", func() {
			if err := s.RestartKubeAPIServer(t.Context(), restarted); err != nil {
				t.Error(err)
			}
		})
		// The load balancer sends requests only to ready kube-apiservers, and these proxy to Batchgate.
		t.Logf("%s restarted: the gate denied %d forbidden updates", restarted.Name, denied)
		if accepted > 0 {
			t.Errorf("%s restarted: %d forbidden updates were accepted", restarted.Name, accepted)
		}
		load.s.checkService()
	}
	s.plugin(0, "rollback")
	for _, server := range s.APIServers {
		if err := s.checkGatedBy(server, "pi"); err == nil {
			t.Errorf("%s still uses Batchgate after the rollback", server.Name)
		}
	}
	load.finish().log(t)
	s.release("pi")
}

// One of two kube-apiservers cannot connect to Batchgate. A takeover must not succeed, since half of
// all requests would fail.
func TestTakeoverNeedsEveryKubeAPIServer(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{APIServers: 2})
	s.install()
	config := filepath.Join(s.Dir, "egress.yaml")
	if err := os.WriteFile(config, []byte(noRoute), 0o600); err != nil {
		t.Fatal(err)
	}
	cutOff := s.APIServers[1]
	if err := s.RestartKubeAPIServer(t.Context(), cutOff, "--egress-selector-config-file="+config); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		// A request of a check may fail, too.
		output, code := s.runPlugin("takeover", "--timeout=20s")
		t.Logf("the takeover exited with %d:\n%s", code, output)
		if code != 2 && code != 3 {
			t.Fatal("want 2 or 3")
		}
		if err := s.kubectl("create", "job", "native", "--image=pi", "--dry-run=server"); err != nil {
			t.Errorf("after the takeover was rolled back: %v", err)
		}
	}
	if err := s.RestartKubeAPIServer(t.Context(), cutOff); err != nil {
		t.Fatal(err)
	}
	s.plugin(0, "takeover")
	s.createHeld("pi", 1, 1)
	for _, server := range s.APIServers {
		if err := s.checkGatedBy(server, "pi"); err != nil {
			t.Errorf("%s: %v", server.Name, err)
		}
	}
	s.release("pi")
}

// One of two kube-apiservers does not notice a takeover, and later does not notice a rollback. But it
// returns the current v1.batch.
func TestTakeoverNoticesUnproxiedJobs(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{APIServers: 2})
	s.install()
	etcd, outdated := s.StartSilentEtcd(t), s.APIServers[1]
	restart := func() {
		t.Helper()
		if err := s.RestartKubeAPIServer(t.Context(), outdated, "--etcd-servers="+etcd.URL); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	s.takeOver()
	for _, server := range s.APIServers {
		s.checkAnsweredByBatchgate(server, true)
	}
	s.plugin(0, "rollback").has("all kube-apiservers")

	etcd.Silence(true)
	output, code := s.runPlugin("takeover", "--timeout=20s")
	t.Logf("the takeover exited with %d:\n%s", code, output)
	if code != 3 || !strings.Contains(output, "it serves Jobs itself") {
		t.Errorf("want the exit code 3 and the reason")
	}
	s.checkAnsweredByBatchgate(outdated, false)

	etcd.Silence(false)
	restart()
	s.plugin(0, "takeover")
	etcd.Silence(true)
	if err := s.RollBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.checkAnsweredByBatchgate(outdated, true)
	s.plugin(1, "status", "--server="+outdated.Config.Host).has("still proxy requests for Jobs to Batchgate: the one of the kubeconfig")
}

// Three kube-apiservers behind a load balancer are restarted in turn, and one of them loses etcd, while
// clients write and an attacker sends forbidden updates to each of them directly.
func TestThreeKubeAPIServers(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{APIServers: 3})
	s.install()
	etcd, last := s.StartSilentEtcd(t), s.APIServers[2]
	if err := s.RestartKubeAPIServer(t.Context(), last, "--etcd-servers="+etcd.URL); err != nil {
		t.Fatal(err)
	}
	s.plugin(0, "takeover")
	s.createHeld("pi", 1, 2)
	load := s.inNamespace(t, "load").startLoad()
	client, err := last.Client()
	if err != nil {
		t.Fatal(err)
	}
	ready := func() error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(t.Context()).Error()
	}

	finishAttack := s.attackEach("pi")
	etcd.CutOff(true)
	s.eventually("notice that etcd is gone", func() error {
		if ready() == nil {
			return errors.New(last.Name + " is ready")
		}
		return nil
	})
	load.s.checkService()
	etcd.CutOff(false)
	s.eventually("be ready again", ready)
	load.s.checkService()
	// No kube-apiserver has started, so there is no moment without the gate.
	finishAttack(true)

	finishAttack = s.attackEach("pi")
	for _, server := range s.APIServers[:2] {
		if err := s.RestartKubeAPIServer(t.Context(), server); err != nil {
			t.Fatal(err)
		}
		load.s.checkService()
	}
	finishAttack(false)
	for _, server := range s.APIServers {
		if err := s.checkGatedBy(server, "pi"); err != nil {
			t.Errorf("%s: %v", server.Name, err)
		}
	}
	s.plugin(0, "rollback").has("all kube-apiservers")
	for _, server := range s.APIServers {
		if err := s.checkGatedBy(server, "pi"); err == nil {
			t.Errorf("%s still uses Batchgate after the rollback", server.Name)
		}
	}
	load.finish().log(t)
	s.release("pi")
}

// checkAnsweredByBatchgate sends a request for Jobs to the kube-apiserver. It fails the test unless
// Batchgate answers if want is true, or kube-apiserver itself if want is false.
func (s *scenario) checkAnsweredByBatchgate(server *framework.KubeAPIServer, want bool) {
	s.t.Helper()
	transport, err := rest.HTTPClientFor(server.Config)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := transport.Get(server.Config.Host + "/apis/batch/v1/jobs?limit=1")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	versions := response.Header["Batchgate-Version"]
	if response.StatusCode != http.StatusOK || want != (len(versions) == 1 && versions[0] != "") || !want && len(versions) > 0 {
		s.t.Errorf("%s responds with %d and the versions %q of Batchgate", server.Name, response.StatusCode, versions)
	}
}
