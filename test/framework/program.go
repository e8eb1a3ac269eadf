package framework

import (
	"context"
	"fmt"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
)

// BuildModule builds the program of the module hack/<module> where it is missing, and returns
// its file. Progress goes to standard error.
func BuildModule(ctx context.Context, module string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	directory, err := script(ctx, filepath.Join(root, "hack", "build-tools.sh"), "-m", module)
	return filepath.Join(directory, module), err
}

// FreePort returns a port of the loopback interface that nobody listens on.
func FreePort() (int, error) { return freePort() }

// StartProgram starts a client of the cluster that is none of its components. It ends with
// the cluster, before all of them.
func (c *Cluster) StartProgram(name, binary string, args ...string) (*Process, error) {
	p := c.process(name, binary, args)
	c.programs = append(c.programs, p)
	return p, p.Start()
}

// AwaitOK waits until the URL answers with 200, as a kubelet would that probes it.
func (p *Process) AwaitOK(ctx context.Context, url string) error {
	return p.waitUntil(ctx, "ok at "+url, func(ctx context.Context) bool { return probeHTTP(ctx, url) == nil })
}

// ServiceAccountKubeconfig writes a kubeconfig with a token of the service account, which is
// valid for a day.
func (c *Cluster) ServiceAccountKubeconfig(ctx context.Context, namespace, name, file string) error {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](24 * 60 * 60)}}
	token, err := c.Client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("getting a token: %w", err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: c.serverURL(), CertificateAuthority: c.pki.path("ca.crt")}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, file)
}
