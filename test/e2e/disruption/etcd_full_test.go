package disruption

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	noSpace    = "etcdserver: mvcc: database space exceeded"
	junkPrefix = "/junk/"
	// quota is how many bytes etcd may have before it takes no more.
	quota = 32 << 20
)

// fill writes to etcd until it takes no more.
func (d *drill) fill(client *clientv3.Client) {
	d.t.Helper()
	for i := range 1000 {
		_, err := client.Put(d.t.Context(), fmt.Sprint(junkPrefix, i), strings.Repeat("x", 1<<20))
		if err != nil && strings.Contains(err.Error(), noSpace) {
			d.t.Logf("etcd was full after %d MiB", i)
			return
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
	d.t.Fatal("etcd does not get full")
}

// makeSpace does what an operator does with etcdctl: delete, compact, defragment, disarm.
func (d *drill) makeSpace(client *clientv3.Client) {
	d.t.Helper()
	deleted, err := client.Delete(d.t.Context(), junkPrefix, clientv3.WithPrefix())
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := client.Compact(d.t.Context(), deleted.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		d.t.Fatal(err)
	}
	for _, url := range d.EtcdURLs() {
		if _, err := client.Defragment(d.t.Context(), url); err != nil {
			d.t.Fatal(err)
		}
	}
	if _, err := client.AlarmDisarm(d.t.Context(), &clientv3.AlarmMember{}); err != nil {
		d.t.Fatal(err)
	}
}

func TestFullEtcdIsNamedToWritersAndGoesOnAfterTheAlarm(t *testing.T) {
	d := startTakenOver(t, framework.ClusterOptions{EtcdArgs: []string{fmt.Sprintf("--quota-backend-bytes=%d", quota)}})
	d.prepare()
	marker := d.newMarker()
	load := d.startLoad()
	member := d.EtcdMembers[0]
	d.progress(member)
	client := d.etcd(d.EtcdURLs()...)
	exited := []<-chan struct{}{d.Batchgate.Exited(), d.APIServer.Exited()}
	d.fill(client)

	jobs, configMaps := d.ask(time.Minute)
	for i, request := range requests {
		full := request == "create" || request == "patch"
		if want := "500 : " + noSpace; full && answer(jobs[i]) != want {
			t.Errorf("%s of a Job is answered with %s, want %s", request, answer(jobs[i]), want)
		}
		// To delete takes no space.
		if !full && jobs[i] != nil {
			t.Errorf("%s of a Job is answered with %s", request, answer(jobs[i]))
		}
		if answer(jobs[i]) != answer(configMaps[i]) {
			t.Errorf("%s of a Job is answered with %s, of a ConfigMap with %s", request, answer(jobs[i]), answer(configMaps[i]))
		}
	}
	if code, body := d.health("/readyz"); code != http.StatusOK {
		t.Errorf("Batchgate can be read from, but is not ready: %d %s", code, body)
	}
	if failed := d.metric("etcd_request_errors_total", `group="batch"`); failed == 0 {
		t.Error("etcd_request_errors_total says that no request failed")
	}
	if size := d.metric("apiserver_storage_size_bytes"); size < quota/2 {
		t.Errorf("apiserver_storage_size_bytes is %v, with a full etcd of %d", size, quota)
	}

	d.makeSpace(client)
	marker.change()
	d.progress(member)
	seen := load.finish(member.URL)
	seen.log(t)
	d.runs("after")
	if !slices.ContainsFunc(seen.errors, func(err error) bool { return strings.Contains(err.Error(), noSpace) }) {
		t.Errorf("no writer was told that there is no space")
	}
	for _, gone := range exited {
		select {
		case <-gone:
			t.Error("a server has ended")
		default:
		}
	}
}
