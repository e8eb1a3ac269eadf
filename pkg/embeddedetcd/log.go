package embeddedetcd

import (
	"sync/atomic"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// endOfServing is what etcd logs, as an error, of every listener that ends, even where it is
// asked to.
const endOfServing = "setting up serving from embedded etcd failed."

// newLogger returns a logger of errors that leaves out the end of serving once stopping is
// set.
func newLogger(stopping *atomic.Bool) (*zap.Logger, error) {
	logger, err := logutil.CreateDefaultZapLogger(zap.ErrorLevel)
	if err != nil {
		return nil, err
	}
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return filter{core, stopping} })), nil
}

// filter is a core that leaves out what a stop logs in vain.
type filter struct {
	zapcore.Core
	stopping *atomic.Bool
}

// With implements zapcore.Core.
func (f filter) With(fields []zapcore.Field) zapcore.Core {
	return filter{f.Core.With(fields), f.stopping}
}

// Check implements zapcore.Core.
func (f filter) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if f.stopping.Load() && entry.Message == endOfServing {
		return checked
	}
	return f.Core.Check(entry, checked)
}
