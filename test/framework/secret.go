// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"errors"
	"os"
	"path/filepath"
)

// MountSecret writes a Secret's data to a directory as a kubelet does: to a new subdirectory, to
// which it then points the ..data link.
func MountSecret(dir string, data map[string][]byte) error {
	const link = "..data"
	fresh, err := os.MkdirTemp(dir, "..data_")
	if err != nil {
		return err
	}
	for name, content := range data {
		if err := os.WriteFile(filepath.Join(fresh, name), content, 0o600); err != nil {
			return err
		}
	}
	before, err := os.Readlink(filepath.Join(dir, link))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(filepath.Base(fresh), filepath.Join(dir, "..tmp")); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, link)); err != nil {
		return err
	}
	if before != "" {
		return os.RemoveAll(filepath.Join(dir, before))
	}
	for name := range data {
		if err := os.Symlink(filepath.Join(link, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
