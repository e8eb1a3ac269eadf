// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"runtime"
	"sync"
)

// persistentThread runs functions on one thread that exists as long as this process.
var persistentThread = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

// OnPersistentThread calls f on a thread that exists as long as this process. The kernel sends Pdeathsig when the
// thread that started the child ends, which may be long before the process ends.
func OnPersistentThread(f func() error) error {
	err := make(chan error)
	persistentThread() <- func() { err <- f() }
	return <-err
}
