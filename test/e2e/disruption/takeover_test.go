// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"net/url"
	"strconv"
	"testing"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
	"github.com/batchgate/batchgate/test/framework"
)

const takeoverRounds = 10

func TestTakeoverAndRollbackUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{APIServers: 2})
	s.install()
	load := s.startLoad()
	api, err := cluster.New(s.Config)
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
	service := cluster.Service{Namespace: framework.Namespace, Name: framework.Name, Port: int32(port)}
	report := func(r steps.Result) {
		if r.Error != "" {
			t.Errorf("%s: %s", r.Name, r.Error)
		}
	}
	ca := s.DirectConfig().CAData
	for range takeoverRounds {
		batchgate := &cluster.Batchgate{Service: service, CABundle: ca, Dial: func(ctx context.Context) (*cluster.Direct, error) {
			return api.Connect(ctx, direct.Host, service, ca)
		}}
		run := &takeover.Takeover{Cluster: api, Batchgate: batchgate, Report: report}
		if err := run.Run(t.Context()); err != nil {
			t.Error(err)
		}
		if err := (&takeover.Rollback{Cluster: api, Report: report}).Run(t.Context()); err != nil {
			t.Error(err)
		}
	}
	load.finish()
}
