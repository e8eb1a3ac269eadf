package framework

import (
	"context"
	"fmt"

	"github.com/batchgate/batchgate/pkg/pki"
)

// etcdName is that of the StatefulSet and the Service of artifacts/overlays/dedicated-etcd.
const etcdName = "batchgate-etcd"

// OwnEtcd is the etcd of artifacts/overlays/dedicated-etcd.
type OwnEtcd struct {
	// Endpoints are the URLs of the members, for clients.
	Endpoints []string
	// CAFile verifies the members; CertFile and KeyFile are those of a client.
	CAFile, CertFile, KeyFile string
	// Members are the processes, in the order of the endpoints, and Pods what they belong to.
	Members []*Process
	Pods    []*LocalPod
}

// InstallOwnEtcd applies artifacts/overlays/dedicated-etcd and runs its Pods: an etcd of three
// members, with TLS, and one replica of Batchgate on it, whose policies are part of the
// cluster's API then. v1.batch stays where it is, and nothing is imported.
func (c *Cluster) InstallOwnEtcd(ctx context.Context) (*OwnEtcd, error) {
	if err := c.ApplyOverlay(ctx, "dedicated-etcd"); err != nil {
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
	pods, err := c.awaitPods(ctx, Name, 2)
	if err != nil {
		return etcd, err
	}
	if err := c.runBatchgate(ctx, &pods[0], Machine{Addresses: addresses}); err != nil {
		return etcd, err
	}
	return etcd, c.ServePolicies(ctx)
}

// createEtcdSecrets makes the Secrets that the overlay asks for, and files for a client.
func (c *Cluster) createEtcdSecrets(ctx context.Context) (*OwnEtcd, error) {
	etcd := &OwnEtcd{
		CAFile:   c.pki.path("dedicated-etcd-ca.crt"),
		CertFile: c.pki.path("dedicated-etcd-client.crt"),
		KeyFile:  c.pki.path("dedicated-etcd-client.key"),
	}
	ca, err := pki.LoadOrCreate(etcd.CAFile, c.pki.path("dedicated-etcd-ca.key"), "batchgate-etcd-ca")
	if err != nil {
		return nil, err
	}
	service := etcdName + "." + Namespace + ".svc"
	cert, key, err := ca.Sign(etcdServer("*."+service, service))
	if err != nil {
		return nil, err
	}
	if err := c.createTLSSecret(ctx, "batchgate-etcd-member", ca.CertPEM, cert, key); err != nil {
		return nil, err
	}
	cert, key, err = ca.Sign(etcdClient(Name))
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

// startMembers runs the Pods of the StatefulSet, and returns where their addresses are here.
func (c *Cluster) startMembers(ctx context.Context, etcd *OwnEtcd) (map[string]string, error) {
	const count = 3
	pods, err := c.awaitPods(ctx, etcdName, count)
	if err != nil {
		return nil, err
	}
	addresses := map[string]string{}
	ports := make([]map[int32]int, count)
	for i, pod := range pods {
		ports[i] = map[int32]int{}
		for _, port := range pod.Spec.Containers[0].Ports {
			local, err := freePort()
			if err != nil {
				return nil, err
			}
			ports[i][port.ContainerPort] = local
			addresses[fmt.Sprintf("%s.%s.%s.svc:%d", pod.Name, etcdName, Namespace, port.ContainerPort)] = fmt.Sprintf("127.0.0.1:%d", local)
		}
		etcd.Endpoints = append(etcd.Endpoints, fmt.Sprintf("https://127.0.0.1:%d", ports[i][2379]))
	}
	for i, pod := range pods {
		member, err := c.NewPod(ctx, &pod, Machine{Ports: ports[i], Addresses: addresses})
		if err != nil {
			return nil, err
		}
		if err := member.Start(ctx); err != nil {
			return nil, err
		}
		etcd.Pods = append(etcd.Pods, member)
		etcd.Members = append(etcd.Members, member.Processes[0])
	}
	for _, member := range etcd.Pods {
		if err := member.AwaitReady(ctx); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}
