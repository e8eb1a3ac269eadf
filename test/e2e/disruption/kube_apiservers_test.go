// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"os"
	"path/filepath"
	"testing"

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
		// The load balancer sends requests only to a kube-apiserver that is ready, which is gated.
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

// One of two kube-apiservers cannot connect to Batchgate. A takeover must not end well, since half
// of all requests would fail.
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
