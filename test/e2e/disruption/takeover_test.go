package disruption

import (
	"context"
	"net/url"
	"strconv"
	"testing"

	"github.com/batchgate/batchgate/pkg/takeover"
	"github.com/batchgate/batchgate/test/framework"
)

const takeoverRounds = 10

func TestTakeoverAndRollbackUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{})
	s.install()
	load := s.startLoad()
	cluster, err := takeover.NewCluster(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	direct, err := url.Parse(s.DirectConfig().Host)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(direct.Port())
	if err != nil {
		t.Fatal(err)
	}
	service := takeover.Service{Namespace: framework.Namespace, Name: framework.Name, Port: int32(port)}
	report := func(r takeover.Result) {
		if r.Error != "" {
			t.Errorf("%s: %s", r.Name, r.Error)
		}
	}
	ca := s.DirectConfig().CAData
	for range takeoverRounds {
		run := &takeover.Takeover{Cluster: cluster, Service: service, CABundle: ca, Report: report, Connect: func(ctx context.Context) (*takeover.Direct, error) {
			return cluster.Connect(ctx, direct.Host, service, ca)
		}}
		if err := run.Run(t.Context()); err != nil {
			t.Error(err)
		}
		if err := (&takeover.Rollback{Cluster: cluster, Report: report}).Run(t.Context()); err != nil {
			t.Error(err)
		}
	}
	load.finish()
}
