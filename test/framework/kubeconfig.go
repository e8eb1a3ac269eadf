// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
)

// WriteServiceAccountKubeconfig writes a kubeconfig with a token of a service account, valid
// for a day.
func (c *Cluster) WriteServiceAccountKubeconfig(ctx context.Context, namespace, name, file string) error {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](24 * 60 * 60)}}
	token, err := c.Client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating a token of the service account %s/%s: %w", namespace, name, err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: c.apiServerURL(), CertificateAuthority: c.pki.path("ca.crt")}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, file)
}

// batchgateKubeconfig is the kubeconfig of Batchgate's service account.
func (c *Cluster) batchgateKubeconfig() string { return c.pki.path("batchgate.kubeconfig") }

func (c *Cluster) writeBatchgateKubeconfig(ctx context.Context) error {
	return c.WriteServiceAccountKubeconfig(ctx, Namespace, Name, c.batchgateKubeconfig())
}

// setServer changes the server in a kubeconfig.
func setServer(file, server string) error {
	config, err := clientcmd.LoadFromFile(file)
	if err != nil {
		return err
	}
	for _, cluster := range config.Clusters {
		cluster.Server = server
	}
	return clientcmd.WriteToFile(*config, file)
}
