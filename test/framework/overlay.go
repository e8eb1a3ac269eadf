// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// overlayBase is the resource that test/framework/overlay changes.
const overlayBase = "../../../artifacts/base"

// applyOverlay applies artifacts/overlays/<name> with the patches of test/framework/overlay.
func (c *Cluster) applyOverlay(ctx context.Context, name string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	content, err := readFile("test", "framework", "overlay", "kustomization.yaml")
	if err != nil {
		return err
	}
	directory := filepath.Join(c.Dir, "overlay-"+name)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	// Kustomize does not accept absolute paths.
	resource, err := filepath.Rel(directory, filepath.Join(root, "artifacts", "overlays", name))
	if err != nil {
		return err
	}
	if !bytes.Contains(content, []byte(overlayBase)) {
		return fmt.Errorf("test/framework/overlay does not name %s", overlayBase)
	}
	content = bytes.ReplaceAll(content, []byte(overlayBase), []byte(resource))
	if err := os.WriteFile(filepath.Join(directory, "kustomization.yaml"), content, 0o600); err != nil {
		return err
	}
	_, _, err = c.Kubectl().Run(ctx, "apply", "--server-side", "--kustomize", directory)
	return err
}
