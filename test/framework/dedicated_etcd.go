// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/batchgate/batchgate/pkg/pki"
)

// dedicatedEtcdName is the name of the StatefulSet and the Service of the etcd.
const dedicatedEtcdName = "batchgate-etcd"

// DedicatedEtcd is the etcd of artifacts/overlays/dedicated-etcd.
type DedicatedEtcd struct {
	// Endpoints are the client URLs of the members.
	Endpoints []string
	// CAFile verifies the members. CertFile and KeyFile are a client certificate.
	CAFile, CertFile, KeyFile string
	// Members and Pods are in the order of the Endpoints.
	Members []*Process
	Pods    []*LocalPod
}

// InstallDedicatedEtcd applies artifacts/overlays/dedicated-etcd, runs an etcd of three members
// and one replica of Batchgate, and registers the policy API. It does not take v1.batch over
// and imports nothing.
func (c *Cluster) InstallDedicatedEtcd(ctx context.Context) (*DedicatedEtcd, error) {
	if err := c.applyOverlay(ctx, "dedicated-etcd"); err != nil {
		return nil, err
	}
	if err := c.createServingSecret(ctx); err != nil {
		return nil, err
	}
	etcd, err := c.createEtcdSecrets(ctx)
	if err != nil {
		return nil, err
	}
	addresses, err := c.startMembers(ctx, etcd)
	if err != nil {
		return etcd, err
	}
	pods, err := c.waitForPods(ctx, Namespace, Name, 2)
	if err != nil {
		return etcd, err
	}
	if err := c.runBatchgatePod(ctx, &pods[0], podOverrides{addresses: addresses}); err != nil {
		return etcd, err
	}
	return etcd, c.RegisterPolicyAPI(ctx)
}

// createEtcdSecrets creates the Secrets of the overlay and the files of a client.
func (c *Cluster) createEtcdSecrets(ctx context.Context) (*DedicatedEtcd, error) {
	etcd := &DedicatedEtcd{
		CAFile:   c.pki.path("dedicated-etcd-ca.crt"),
		CertFile: c.pki.path("dedicated-etcd-client.crt"),
		KeyFile:  c.pki.path("dedicated-etcd-client.key"),
	}
	ca, err := pki.LoadOrCreate(etcd.CAFile, c.pki.path("dedicated-etcd-ca.key"), "batchgate-etcd-ca")
	if err != nil {
		return nil, err
	}
	service := dedicatedEtcdName + "." + Namespace + ".svc"
	cert, key, err := ca.Sign(etcdServerTemplate("*."+service, service))
	if err != nil {
		return nil, err
	}
	if err := c.createTLSSecret(ctx, "batchgate-etcd-member", ca.CertPEM, cert, key); err != nil {
		return nil, err
	}
	cert, key, err = ca.Sign(etcdClientTemplate(Name))
	if err != nil {
		return nil, err
	}
	if err := pki.WriteFile(etcd.CertFile, cert); err != nil {
		return nil, err
	}
	if err := pki.WriteFile(etcd.KeyFile, key); err != nil {
		return nil, err
	}
	return etcd, c.createTLSSecret(ctx, "batchgate-etcd-client", ca.CertPEM, cert, key)
}

// startMembers runs the Pods of the StatefulSet. It returns the local addresses of the members
// by their addresses in the cluster.
func (c *Cluster) startMembers(ctx context.Context, etcd *DedicatedEtcd) (map[string]string, error) {
	const count = 3
	pods, err := c.waitForPods(ctx, Namespace, dedicatedEtcdName, count)
	if err != nil {
		return nil, err
	}
	addresses := map[string]string{}
	ports := make([]map[int32]int, count)
	for i, pod := range pods {
		ports[i] = map[int32]int{}
		for _, port := range pod.Spec.Containers[0].Ports {
			local, err := FreePort()
			if err != nil {
				return nil, err
			}
			ports[i][port.ContainerPort] = local
			addresses[fmt.Sprintf("%s.%s.%s.svc:%d", pod.Name, dedicatedEtcdName, Namespace, port.ContainerPort)] = loopback(local)
		}
		etcd.Endpoints = append(etcd.Endpoints, "https://"+loopback(ports[i][2379]))
	}
	for i, pod := range pods {
		member, err := c.newLocalPod(ctx, &pod, podOverrides{ports: ports[i], addresses: addresses})
		if err != nil {
			return nil, err
		}
		etcd.Pods = append(etcd.Pods, member)
		etcd.Members = append(etcd.Members, member.Processes[0])
	}
	// New members wait for each other.
	errs := make([]error, count)
	var starting sync.WaitGroup
	for i, member := range etcd.Pods {
		starting.Go(func() { errs[i] = member.Start(ctx) })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, member := range etcd.Pods {
		if err := member.WaitUntilReady(ctx); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}
