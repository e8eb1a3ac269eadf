// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build batchgate_kill

package steps

import (
	"os"
	"strconv"
)

// KillVariable is the environment variable with the number of steps after which the process kills
// itself, for tests of interrupted commands. Releases are built without the tag of this file.
const KillVariable = "BATCHGATE_KILL_AFTER_STEP"

func init() {
	remaining, err := strconv.Atoi(os.Getenv(KillVariable))
	if err != nil {
		return
	}
	afterAction = func(string) {
		if remaining--; remaining != 0 {
			return
		}
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
		select {} // until the signal arrives
	}
}
