// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// Names of the APIServices.
const (
	batchAPIService  = "v1.batch"
	policyAPIService = "v1alpha1.policy.batchgate.io"
)

// RegisterPolicyAPI applies the APIService of artifacts/apiservice/policy with this cluster's CA
// and port, and waits until it is available.
func (c *Cluster) RegisterPolicyAPI(ctx context.Context) error {
	manifest, err := c.readManifest("artifacts", "apiservice", "policy", "apiservice.yaml")
	if err != nil {
		return err
	}
	if _, _, err := c.Kubectl().WithStdin(manifest).Run(ctx, "apply", "--server-side", "--filename=-"); err != nil {
		return err
	}
	return c.WaitForPolicyAPI(ctx)
}

// WaitForPolicyAPI waits until the APIService of the policies is available.
func (c *Cluster) WaitForPolicyAPI(ctx context.Context) error {
	return c.waitForAPIService(ctx, policyAPIService)
}

// TakeOver points v1.batch to Batchgate with the patch of artifacts/apiservice/takeover, with
// this cluster's CA and port, and waits until it is available.
func (c *Cluster) TakeOver(ctx context.Context) error {
	patch, err := c.readManifest("artifacts", "apiservice", "takeover", "patch.yaml")
	if err != nil {
		return err
	}
	if err := c.patchBatchAPIService(ctx, "/dev/stdin", patch); err != nil {
		return err
	}
	return c.waitForAPIService(ctx, batchAPIService)
}

// RollBack returns v1.batch to kube-apiserver with the patch of artifacts/apiservice/rollback.
func (c *Cluster) RollBack(ctx context.Context) error {
	return c.patchBatchAPIService(ctx, "artifacts/apiservice/rollback/patch.yaml", "")
}

func (c *Cluster) patchBatchAPIService(ctx context.Context, file, stdin string) error {
	_, _, err := c.Kubectl().WithStdin(stdin).Run(ctx, "patch", "apiservice", batchAPIService, "--type=merge", "--patch-file", file)
	return err
}

// waitForAPIService waits until the APIService is available, and until a request gets an answer from
// Batchgate. The condition may be an old one: of kube-apiserver itself, or from before a restart of Batchgate.
func (c *Cluster) waitForAPIService(ctx context.Context, name string) error {
	if _, _, err := c.Kubectl().Run(ctx, "wait", "apiservice", name, "--for=condition=Available", "--timeout=60s"); err != nil {
		return err
	}
	version, group, _ := strings.Cut(name, ".")
	client, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	last := ""
	err = wait.PollUntilContextTimeout(ctx, pollInterval, readyTimeout, true, func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Config.Host+path.Join("/apis", group, version), nil)
		if err != nil {
			return false, err
		}
		response, err := client.Do(request)
		if err != nil {
			last = err.Error()
			return false, nil
		}
		last = response.Status
		return response.StatusCode == http.StatusOK && response.Header.Get(policy.VersionHeader) != "", response.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("waiting for an answer of Batchgate for %s: %w; the last one: %s", name, err, last)
	}
	return nil
}

// readManifest reads an APIService, or a patch of one, and sets this cluster's CA and port.
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
