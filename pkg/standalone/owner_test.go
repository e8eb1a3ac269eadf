// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrepare_DirectoryOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to another user")
	}
	for _, path := range []string{"pki", "pki/ca.key", "pki/ca.crt"} {
		directory := t.TempDir()
		prepare(t, directory, loopback)
		if err := os.Chown(filepath.Join(directory, path), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		_, err := Prepare(directory, loopback, 8443)
		if err == nil || !strings.Contains(err.Error(), "belongs to the user 12345") {
			t.Errorf("%s: unexpected error: %v", path, err)
		}
	}
}

func TestPrepare_LinkToDirectory(t *testing.T) {
	directory, other := t.TempDir(), t.TempDir()
	prepare(t, other, loopback)
	if err := os.Symlink(filepath.Join(other, "pki"), filepath.Join(directory, "pki")); err != nil {
		t.Fatal(err)
	}
	_, err := Prepare(directory, loopback, 8443)
	if err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("unexpected error: %v", err)
	}
}
