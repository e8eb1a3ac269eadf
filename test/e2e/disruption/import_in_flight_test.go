// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// A webhook delays a write that was admitted before the freeze, until all servers have seen the
// freeze. The import must wait for this write and copy it. A second import that starts in the
// meantime fails.
func TestImportWaitsForInFlightWrites(t *testing.T) {
	t.Parallel()
	s := startDedicatedEtcd(t)
	// This is the webhook's timeout. The preflight checks and the 11 seconds below must fit into it.
	waiting, release := s.addSlowWebhook(30 * time.Second)
	inFlight := s.createSlowly(waiting)
	done := s.startPlugin(s.importArgs("--wait-for-controllers=0")...)
	s.awaitFrozen(true)
	frozen := time.Now()
	s.plugin(2, s.importArgs()...).has("if none is running, set --resume", "nothing was changed")
	// If no webhook were slow, the plugin would copy the Jobs 10 seconds after it created the freeze.
	time.Sleep(time.Until(frozen.Add(11 * time.Second)))
	release()
	if err := <-inFlight; err != nil {
		t.Fatalf("the write that was in flight failed: %v", err)
	}
	output := <-done
	if !strings.HasPrefix(output, "0\n") || !strings.Contains(output, "for 40s") {
		t.Fatalf("the import failed:\n%s", output)
	}
	served, err := s.Client.BatchV1().Jobs(s.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: slowLabel})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := s.storedJobs(s.dedicated)
	if err != nil {
		t.Fatal(err)
	}
	stored := 0
	for _, job := range jobs {
		if _, ok := job.Labels[slowLabel]; ok {
			stored++
		}
	}
	if stored == 0 || stored != len(served.Items) {
		t.Errorf("%d of the delayed Jobs are stored, and %d are served", stored, len(served.Items))
	}
	s.checkImported(5)
}

// createSlowly creates Jobs until the slow webhook delays one, because kube-apiserver calls a new
// webhook only after a moment. The channel receives the error of that request.
func (s *scenario) createSlowly(waiting <-chan struct{}) <-chan error {
	s.t.Helper()
	created := make(chan error, 1)
	for i := 0; ; i++ {
		job := framework.NewJob(fmt.Sprintf("slow-%d", i))
		job.Labels = map[string]string{slowLabel: ""}
		go func() {
			_, err := s.Client.BatchV1().Jobs(s.namespace).Create(s.t.Context(), job, metav1.CreateOptions{})
			created <- err
		}()
		select {
		case <-waiting:
			return created
		case err := <-created:
			if err != nil {
				s.t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}
