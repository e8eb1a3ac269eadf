// Package plugin tests kubectl batchgate: takeover, rollback, status and certificates.
package plugin

import (
	"context"
	"testing"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

var cluster *framework.Cluster

func TestMain(m *testing.M) {
	session.Main(m, func(_ context.Context, c *framework.Cluster, _ framework.Binaries) error {
		cluster = c
		return nil
	})
}
