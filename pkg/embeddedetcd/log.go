// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"sync/atomic"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// servingEnded is the error message that etcd logs for each listener that stops, even if the stop
	// was requested.
	servingEnded = "setting up serving from embedded etcd failed."
	// versionNotStored is the error message of an attempt just after the first start, which etcd repeats every
	// few seconds. A single member needs the version of its storage only for a downgrade.
	versionNotStored = "failed to update storage version"
)

// newLogger returns a logger for etcd that logs errors only. It omits versionNotStored and, after stopping
// is set, servingEnded.
func newLogger(stopping *atomic.Bool) (*zap.Logger, error) {
	logger, err := logutil.CreateDefaultZapLogger(zap.ErrorLevel)
	if err != nil {
		return nil, err
	}
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return logFilter{core, stopping} })), nil
}

// logFilter omits messages that need no attention.
type logFilter struct {
	zapcore.Core
	stopping *atomic.Bool
}

var _ zapcore.Core = logFilter{}

// With implements zapcore.Core.
func (f logFilter) With(fields []zapcore.Field) zapcore.Core {
	return logFilter{f.Core.With(fields), f.stopping}
}

// Check implements zapcore.Core.
func (f logFilter) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if f.stopping.Load() && entry.Message == servingEnded || entry.Message == versionNotStored {
		return checked
	}
	return f.Core.Check(entry, checked)
}
