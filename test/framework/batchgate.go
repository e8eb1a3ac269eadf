package framework

import (
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/pki"
)

// What artifacts/base names.
const (
	Namespace      = "batchgate-system"
	Name           = "batchgate-apiserver"
	apiServiceName = "v1.batch"
	// policyAPIServiceName is that of artifacts/apiservice/policy.
	policyAPIServiceName = "v1alpha1.policy.batchgate.io"

	// servingName is what kube-apiserver verifies the server by.
	servingName = Name + "." + Namespace + ".svc"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

// Install applies artifacts/base, starts Batchgate on the cluster's etcd with a token of the
// service account that the manifests give it, and makes its policies part of the cluster's
// API. v1.batch stays where it is.
func (c *Cluster) Install(ctx context.Context) error { return c.InstallWith(ctx, c.signServing) }

// Serving is a serving certificate for Batchgate: its files, and the CA that verifies it.
type Serving struct {
	CertFile, KeyFile string
	CA                []byte
}

// signServing makes one.
func (c *Cluster) signServing(context.Context) (Serving, error) {
	s := Serving{CertFile: c.pki.path("batchgate.crt"), KeyFile: c.pki.path("batchgate.key")}
	ca, err := pki.LoadOrCreate(c.pki.path("batchgate-ca.crt"), c.pki.path("batchgate-ca.key"), "batchgate-ca")
	if err != nil {
		return s, err
	}
	s.CA = ca.CertPEM
	return s, ca.SignFiles(s.CertFile, s.KeyFile, x509.Certificate{
		DNSNames:    []string{servingName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// InstallWith is Install with the serving certificate of another one, who is asked for it once
// artifacts/base is applied.
func (c *Cluster) InstallWith(ctx context.Context, certificate func(context.Context) (Serving, error)) error {
	if err := c.prepareBatchgate(ctx, certificate); err != nil {
		return err
	}
	var err error
	if c.batchgatePort, err = freePort(); err != nil {
		return err
	}
	// Nobody has to notice that the only one ends.
	args := append(c.batchgateArgs(c.batchgatePort), "--shutdown-delay-duration=0s")
	c.Batchgate = c.process("batchgate-apiserver", c.binaries.Batchgate, args)
	c.Batchgate.graceful = true
	if err := c.StartBatchgate(ctx); err != nil {
		return err
	}
	return c.ServePolicies(ctx)
}

// prepareBatchgate applies artifacts/base, and makes the files that Batchgate is started with.
func (c *Cluster) prepareBatchgate(ctx context.Context, certificate func(context.Context) (Serving, error)) error {
	if _, _, err := c.Kubectl().Run(ctx, "apply", "--server-side", "--kustomize", "test/framework/overlay"); err != nil {
		return err
	}
	if err := c.serviceAccountKubeconfig(ctx); err != nil {
		return err
	}
	serving, err := certificate(ctx)
	if err != nil {
		return err
	}
	c.serving, c.batchgateCA = serving, serving.CA
	if c.deployment, err = baseDeployment(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Dir, "audit-policy.yaml"), auditPolicy, 0o600)
}

// batchgateArgs are the arguments of a Batchgate of this cluster that listens on the port. They
// are those of the Deployment in artifacts/base, but for those that say where the server is and
// what it is known by.
func (c *Cluster) batchgateArgs(port int) []string {
	args := slices.DeleteFunc(slices.Clone(c.deployment.Spec.Template.Spec.Containers[0].Args), func(arg string) bool {
		return strings.HasPrefix(arg, "--secure-port=") || strings.HasPrefix(arg, "--etcd-") || strings.HasPrefix(arg, "--tls-")
	})
	args = append(append(args, c.features.gateArgs()...),
		"--kubeconfig="+c.pki.path("batchgate.kubeconfig"),
		c.etcdServers(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file="+c.serving.CertFile,
		"--tls-private-key-file="+c.serving.KeyFile,
		"--audit-policy-file="+filepath.Join(c.Dir, "audit-policy.yaml"),
		"--audit-log-path="+c.AuditFile(),
	)
	return append(args, c.features.BatchgateArgs...)
}

// ServePolicies registers the group of the policies as artifacts/apiservice/policy does, with
// this cluster's CA and port, and waits until the aggregator finds it available.
func (c *Cluster) ServePolicies(ctx context.Context) error {
	manifest, err := c.readManifest("artifacts", "apiservice", "policy", "apiservice.yaml")
	if err != nil {
		return err
	}
	if _, _, err := c.Kubectl().WithStdin(manifest).Run(ctx, "apply", "--server-side", "--filename=-"); err != nil {
		return err
	}
	return c.awaitAPIService(ctx, policyAPIServiceName)
}

// readManifest reads a manifest of an APIService or a patch of one, with this cluster's CA and
// port in it.
func (c *Cluster) readManifest(path ...string) (string, error) {
	content, err := readFile(path...)
	if err != nil {
		return "", err
	}
	manifest := map[string]any{}
	if err := yaml.Unmarshal(content, &manifest); err != nil {
		return "", err
	}
	spec := manifest["spec"].(map[string]any)
	spec["caBundle"] = base64.StdEncoding.EncodeToString(c.batchgateCA)
	spec["service"].(map[string]any)["port"] = c.batchgatePort
	content, err = yaml.Marshal(manifest)
	return string(content), err
}

// AwaitPolicies waits until the aggregator finds the group of the policies available.
func (c *Cluster) AwaitPolicies(ctx context.Context) error {
	return c.awaitAPIService(ctx, policyAPIServiceName)
}

func (c *Cluster) awaitAPIService(ctx context.Context, name string) error {
	_, _, err := c.Kubectl().Run(ctx, "wait", "apiservice", name, "--for=condition=Available", "--timeout=60s")
	return err
}

// AuditFile is where Batchgate writes its audit events, as lines of JSON.
func (c *Cluster) AuditFile() string { return filepath.Join(c.Dir, "batchgate-audit.jsonl") }

// StartBatchgate starts Batchgate and waits until it is ready.
func (c *Cluster) StartBatchgate(ctx context.Context) error {
	if err := c.Batchgate.Start(); err != nil {
		return err
	}
	return c.Batchgate.waitUntil(ctx, "ready", func(ctx context.Context) bool { return c.BatchgateReady(ctx) == nil })
}

// BatchgateReady returns nil if Batchgate, asked directly, says that it is ready.
func (c *Cluster) BatchgateReady(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.DirectConfig())
	if err != nil {
		return err
	}
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// DirectConfig returns the admin's way to Batchgate past kube-apiserver.
func (c *Cluster) DirectConfig() *rest.Config {
	config := rest.CopyConfig(c.Config)
	config.Host = fmt.Sprintf("https://127.0.0.1:%d", c.batchgatePort)
	config.CAData, config.ServerName = c.batchgateCA, servingName
	return config
}

// serviceAccountKubeconfig writes a kubeconfig of the manifests' service account.
func (c *Cluster) serviceAccountKubeconfig(ctx context.Context) error {
	return c.ServiceAccountKubeconfig(ctx, Namespace, Name, c.pki.path("batchgate.kubeconfig"))
}

// TakeOver points v1.batch at Batchgate as artifacts/apiservice/takeover does, with this
// cluster's CA and port, and waits until the aggregator finds it available.
func (c *Cluster) TakeOver(ctx context.Context) error {
	patch, err := c.readManifest("artifacts", "apiservice", "takeover", "patch.yaml")
	if err != nil {
		return err
	}
	if err := c.patchAPIService(ctx, "/dev/stdin", patch); err != nil {
		return err
	}
	return c.awaitAPIService(ctx, apiServiceName)
}

// RollBack gives v1.batch back to kube-apiserver, by the patch of artifacts/apiservice/rollback.
func (c *Cluster) RollBack(ctx context.Context) error {
	return c.patchAPIService(ctx, "artifacts/apiservice/rollback/patch.yaml", "")
}

func (c *Cluster) patchAPIService(ctx context.Context, file, stdin string) error {
	_, _, err := c.Kubectl().WithStdin(stdin).Run(ctx, "patch", "apiservice", apiServiceName, "--type=merge", "--patch-file", file)
	return err
}
