// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// Names in artifacts/base: the namespace of Batchgate, and the name of its Deployment, Service
// and service account.
const (
	Namespace = "batchgate-system"
	Name      = "batchgate-apiserver"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

// Install applies artifacts/base, starts Batchgate on the cluster's etcd with a token of its
// service account, and registers the policy API. It does not take v1.batch over.
func (c *Cluster) Install(ctx context.Context) error {
	return c.InstallWithCertificate(ctx, c.signServingCertificate)
}

// InstallWithCertificate is Install with the serving certificate that the function returns. The
// function is called after artifacts/base is applied.
func (c *Cluster) InstallWithCertificate(ctx context.Context, certificate func(context.Context) (ServingCertificate, error)) error {
	if err := c.prepareBatchgate(ctx, certificate); err != nil {
		return err
	}
	var err error
	if c.batchgatePort, err = FreePort(); err != nil {
		return err
	}
	c.Batchgate = c.process("batchgate-apiserver", c.binaries.Batchgate, c.singleArgs())
	c.Batchgate.exitsZero = true
	if err := c.StartBatchgate(ctx); err != nil {
		return err
	}
	return c.RegisterPolicyAPI(ctx)
}

// singleArgs returns the arguments of the only replica. A shutdown delay lets clients move to other
// endpoints before the server stops. Here there is no other endpoint, so the delay is 0.
func (c *Cluster) singleArgs() []string {
	return append(c.batchgateArgs(c.batchgatePort), "--shutdown-delay-duration=0s")
}

// RestartBatchgate restarts Batchgate with additional arguments, which override the defaults. It
// drops the arguments of earlier calls.
func (c *Cluster) RestartBatchgate(ctx context.Context, args ...string) error {
	if err := c.Batchgate.Stop(); err != nil {
		return err
	}
	c.Batchgate.args = append(c.singleArgs(), args...)
	return c.StartBatchgate(ctx)
}

// prepareBatchgate applies artifacts/base and writes the files that Batchgate starts with.
func (c *Cluster) prepareBatchgate(ctx context.Context, certificate func(context.Context) (ServingCertificate, error)) error {
	if _, _, err := c.Kubectl().Run(ctx, "apply", "--server-side", "--kustomize", "test/framework/overlay"); err != nil {
		return err
	}
	if err := c.writeBatchgateKubeconfig(ctx); err != nil {
		return err
	}
	serving, err := certificate(ctx)
	if err != nil {
		return err
	}
	c.serving, c.batchgateCA = serving, serving.CA
	if c.deployment, err = readDeployment(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Dir, "audit-policy.yaml"), auditPolicy, 0o600)
}

// readDeployment reads the Deployment of artifacts/base.
func readDeployment() (*appsv1.Deployment, error) {
	content, err := readFile("artifacts", "base", "deployment.yaml")
	if err != nil {
		return nil, err
	}
	deployment := &appsv1.Deployment{}
	return deployment, yaml.UnmarshalStrict(content, deployment)
}

// batchgateArgs returns the arguments of the Deployment in artifacts/base, with the addresses
// and files of this cluster.
func (c *Cluster) batchgateArgs(port int) []string {
	args := slices.DeleteFunc(slices.Clone(c.deployment.Spec.Template.Spec.Containers[0].Args), func(arg string) bool {
		return strings.HasPrefix(arg, "--secure-port=") || strings.HasPrefix(arg, "--etcd-") || strings.HasPrefix(arg, "--tls-") ||
			strings.HasPrefix(arg, emulatedVersionFlag)
	})
	args = c.binaries.emulate(args)
	args = append(append(args, c.options.featureGateArgs()...),
		"--kubeconfig="+c.batchgateKubeconfig(),
		c.etcdServersArg(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file="+c.serving.CertFile,
		"--tls-private-key-file="+c.serving.KeyFile,
		"--audit-policy-file="+filepath.Join(c.Dir, "audit-policy.yaml"),
		"--audit-log-path="+c.auditFile(),
	)
	return append(args, c.options.BatchgateArgs...)
}

func (c *Cluster) auditFile() string { return filepath.Join(c.Dir, "batchgate-audit.jsonl") }

// AuditEvents returns the events in Batchgate's audit log after this offset in bytes that contain a text in
// their JSON form, and the offset of the end.
func (c *Cluster) AuditEvents(offset int, text string) (events []auditv1.Event, end int, err error) {
	content, err := os.ReadFile(c.auditFile())
	if err != nil {
		return nil, offset, err
	}
	for line := range bytes.Lines(content[offset:]) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // incomplete
		}
		offset += len(line)
		if !bytes.Contains(line, []byte(text)) {
			continue
		}
		var event auditv1.Event
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, offset, fmt.Errorf("parsing the audit log: %w", err)
		}
		events = append(events, event)
	}
	return events, offset, nil
}

// StartBatchgate starts Batchgate and waits until it is ready.
func (c *Cluster) StartBatchgate(ctx context.Context) error {
	if err := c.Batchgate.Start(); err != nil {
		return err
	}
	return c.Batchgate.waitUntil(ctx, "ready", func(ctx context.Context) bool { return c.BatchgateReady(ctx) == nil })
}

// BatchgateReady asks Batchgate directly, and returns an error unless it is ready.
func (c *Cluster) BatchgateReady(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.DirectConfig())
	if err != nil {
		return err
	}
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// DirectConfig returns an admin's configuration that connects to Batchgate without the proxy of
// kube-apiserver.
func (c *Cluster) DirectConfig() *rest.Config {
	config := rest.CopyConfig(c.Config)
	config.Host = "https://" + loopback(c.batchgatePort)
	config.CAData, config.ServerName = c.batchgateCA, servingName
	return config
}
