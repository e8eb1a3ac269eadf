// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// Only a kube-apiserver with a certificate for the kubeconfig's host receives the credentials.
func TestCluster_ConnectTo(t *testing.T) {
	ca, _, err := pki.New("ca")
	if err != nil {
		t.Fatal(err)
	}
	authorized := 0
	serve := func(name string) string { return serveTLS(t, ca, name, &authorized) }
	right, wrong := serve("kubernetes.example.com"), serve("other.example.com")
	for name, tc := range map[string]struct {
		host, address string
		insecure      bool
		want          string
	}{
		"right name":   {"https://kubernetes.example.com:6443", right, false, ""},
		"other name":   {"https://kubernetes.example.com:6443", wrong, false, "not kubernetes.example.com"},
		"not verified": {"https://kubernetes.example.com:6443", right, true, "does not verify the server's certificate"},
		"no TLS":       {"http://kubernetes.example.com:8080", right, false, "does not verify the server's certificate"},
		"proxy":        {"https://kubernetes.example.com/k8s/clusters/c-1", right, false, "refers to a proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			authorized = 0
			config := &rest.Config{Host: tc.host, BearerToken: "token", TLSClientConfig: rest.TLSClientConfig{CAData: ca.CertPEM}}
			if tc.insecure {
				config.TLSClientConfig = rest.TLSClientConfig{Insecure: true}
			}
			c, err := cluster.New(config)
			if err != nil {
				t.Fatal(err)
			}
			kube, closeConnection, err := c.ConnectTo(tc.address)
			if err == nil {
				defer closeConnection()
				_, err = kube.Read(t.Context(), "/readyz", cluster.ReadOptions{})
			}
			if tc.want == "" && (err != nil || authorized != 1) || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || authorized > 0) {
				t.Errorf("got error %v, credentials were sent %d times; want %q", err, authorized, tc.want)
			}
		})
	}
}
