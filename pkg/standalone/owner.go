// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"fmt"
	"os"
	"syscall"
)

// verifyOwner returns an error unless this process's user owns the directory. Another user who has
// prepared it may have a copy of the CA's key, and would be an admin of the server.
func verifyOwner(directory string) error {
	info, err := os.Lstat(directory) // a link could lead to a directory that is exchanged later
	if err != nil {
		return fmt.Errorf("reading the owner of the directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory: remove it", directory)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to the user %d, who may have a copy of its keys: choose another directory, or remove it to get new keys", directory, stat.Uid)
	}
	return nil
}
