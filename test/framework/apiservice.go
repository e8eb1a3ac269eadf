// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"encoding/base64"

	"sigs.k8s.io/yaml"
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

func (c *Cluster) waitForAPIService(ctx context.Context, name string) error {
	_, _, err := c.Kubectl().Run(ctx, "wait", "apiservice", name, "--for=condition=Available", "--timeout=60s")
	return err
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
