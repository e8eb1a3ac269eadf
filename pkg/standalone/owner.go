// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// verifyOwner returns an error unless this process's user owns the directory and its files. Another
// user who has prepared them may have a copy of the CA's key, and would be an admin of the server.
func verifyOwner(directory string) error {
	info, err := os.Lstat(directory) // a symbolic link could point to another directory later
	if err != nil {
		return fmt.Errorf("reading the owner of the directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory: remove it", directory)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	infos := []fs.FileInfo{info}
	for _, entry := range entries { // others can add files if they may write to the directory
		info, err := entry.Info()
		if err != nil {
			return err
		}
		infos = append(infos, info)
	}
	for _, info := range infos {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
			return fmt.Errorf("%s below %s belongs to the user %d, who may have a copy of its keys: choose another directory, or remove it to get new keys",
				info.Name(), filepath.Dir(directory), stat.Uid)
		}
	}
	return nil
}
