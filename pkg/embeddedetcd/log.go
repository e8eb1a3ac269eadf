// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"sync/atomic"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// servingEnded is the error message that etcd logs for each listener that stops, even if the stop
// was requested.
const servingEnded = "setting up serving from embedded etcd failed."

// newLogger returns a logger for etcd that logs errors only. After stopping is set, it omits
// servingEnded.
func newLogger(stopping *atomic.Bool) (*zap.Logger, error) {
	logger, err := logutil.CreateDefaultZapLogger(zap.ErrorLevel)
	if err != nil {
		return nil, err
	}
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return stopFilter{core, stopping} })), nil
}

// stopFilter omits servingEnded after stopping is set.
type stopFilter struct {
	zapcore.Core
	stopping *atomic.Bool
}

var _ zapcore.Core = stopFilter{}

// With implements zapcore.Core.
func (f stopFilter) With(fields []zapcore.Field) zapcore.Core {
	return stopFilter{f.Core.With(fields), f.stopping}
}

// Check implements zapcore.Core.
func (f stopFilter) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if f.stopping.Load() && entry.Message == servingEnded {
		return checked
	}
	return f.Core.Check(entry, checked)
}
