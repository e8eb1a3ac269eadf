package disruption

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/batchgate/batchgate/test/framework"
)

// list lists Jobs; the servers give up after the timeout.
func (d *drill) list(timeout time.Duration) error {
	request := d.Client.BatchV1().RESTClient().Get().Namespace(d.namespace).Resource("jobs")
	return request.Param("timeout", timeout.String()).MaxRetries(0).Do(d.t.Context()).Error()
}

func TestLostMajorityOfEtcdIsAnsweredAsKubeAPIServerDoesAndHealsByItself(t *testing.T) {
	d := startTakenOver(t, framework.ClusterOptions{EtcdMembers: 3})
	d.prepare()
	marker := d.newMarker()
	load := d.startLoad()
	leader, followers := d.leader()
	d.progress(leader)
	failed := d.metric("etcd_request_errors_total", `group="batch"`)
	exited := d.Batchgate.Exited()
	d.kill(leader, followers[0])

	jobs, configMaps := d.ask(10 * time.Second)
	for i, request := range requests {
		for resource, err := range map[string]error{"Job": jobs[i], "ConfigMap": configMaps[i]} {
			if err == nil || !retriable(err) {
				t.Errorf("%s of a %s is answered with %s, want an error to try again after", request, resource, answer(err))
			}
		}
	}
	d.eventually("not be ready, because of etcd", func() error {
		if code, body := d.health("/readyz"); code != http.StatusInternalServerError || !strings.Contains(body, "[-]etcd failed") {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	// What the Deployment's liveness probe asks.
	if code, body := d.health("/livez", "etcd"); code != http.StatusOK {
		t.Errorf("it would be restarted: %d %s", code, body)
	}
	if now := d.metric("etcd_request_errors_total", `group="batch"`); now <= failed {
		t.Errorf("etcd_request_errors_total of Jobs was %v, and is %v", failed, now)
	}

	// For half a minute the watches wait for etcd. Then they end, and with them the caches.
	d.eventually("have lost the cache of Jobs", func() error {
		err := d.list(5 * time.Second)
		if !apierrors.IsTooManyRequests(err) {
			return fmt.Errorf("a list is answered with %s", answer(err))
		}
		t.Logf("after half a minute a list is answered with %s", answer(err))
		return nil
	})

	// Two of three are enough again.
	if err := followers[0].Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	marker.change()
	t.Logf("changes are made and told again %s after the start of the member", time.Since(began).Round(time.Second))
	d.eventually("be ready", func() error { return d.BatchgateReady(t.Context()) })
	d.progress(followers[0])
	d.restart(leader)
	seen := load.finish(leader.URL)
	seen.log(t)
	d.runs("after")
	d.sameData()
	select {
	case <-exited:
		t.Error("Batchgate has ended")
	default:
	}
}
