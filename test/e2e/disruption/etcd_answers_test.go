package disruption

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// etcdMessages begin what kube-apiserver and Batchgate pass on from etcd, with the code 500 and
// without a reason. Nothing is wrong with a request that is answered so: it may be sent again.
var etcdMessages = []string{
	"etcdserver: leader changed",
	"etcdserver: no leader",
	"etcdserver: request timed out",
	noSpace,
	// A member that was killed has not answered; what it was told may be done or not.
	"rpc error: code = Unavailable desc = error reading from server: ",
}

// etcdTrouble reports whether an answer says that etcd is in trouble.
func etcdTrouble(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return brokenOff(err)
	}
	return status.Status().Code == http.StatusInternalServerError &&
		slices.ContainsFunc(etcdMessages, func(message string) bool { return strings.HasPrefix(status.Status().Message, message) })
}

// brokenOff reports whether the server has broken off its answer. Both do, instead of 504,
// where the timeout of the request comes just when its handler has found it out too.
func brokenOff(err error) bool {
	return err != nil && strings.Contains(err.Error(), "stream error: ") && strings.Contains(err.Error(), "; INTERNAL_ERROR; received from peer")
}

// answer is what a client sees of an error.
func answer(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return fmt.Sprint(err)
	}
	s := status.Status()
	return fmt.Sprintf("%d %s: %s", s.Code, s.Reason, s.Message)
}

// log prints what the writers were told at first, each answer once.
func (o outcome) log(t *testing.T) {
	t.Helper()
	counts := map[string]int{}
	for _, err := range o.errors {
		counts[answer(err)]++
	}
	for text, count := range counts {
		t.Logf("%d writers' requests were answered with %s", count, text)
	}
}

// requests are those that are compared, in their order in a row of answers.
var requests = []string{"get", "list", "create", "patch", "delete"}

// row is what came of the requests, in that order.
type row [5]error

// prepare makes the objects that ask needs.
func (d *drill) prepare() {
	d.t.Helper()
	for _, name := range []string{"kept", "deleted"} {
		if _, err := d.Client.BatchV1().Jobs(metav1.NamespaceDefault).Create(d.t.Context(), newJob(name), metav1.CreateOptions{}); err != nil {
			d.t.Fatal(err)
		}
		configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := d.Client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(d.t.Context(), configMap, metav1.CreateOptions{}); err != nil {
			d.t.Fatal(err)
		}
	}
}

// ask sends the same requests for Jobs and for ConfigMaps, which kube-apiserver serves by
// itself, all at once. The servers give up after the timeout.
func (d *drill) ask(timeout time.Duration) (jobs, configMaps row) {
	d.t.Helper()
	created := metav1.ObjectMeta{GenerateName: "created-"}
	job := newJob("")
	job.ObjectMeta = created
	var running sync.WaitGroup
	for _, resource := range []struct {
		name   string
		client rest.Interface
		object runtime.Object
		row    *row
	}{
		{"jobs", d.Client.BatchV1().RESTClient(), job, &jobs},
		{"configmaps", d.Client.CoreV1().RESTClient(), &corev1.ConfigMap{ObjectMeta: created}, &configMaps},
	} {
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{"at":"%d"}}}`, time.Now().UnixNano())
		background := metav1.DeletePropagationBackground
		for i, request := range []*rest.Request{
			resource.client.Get().Name("kept"),
			resource.client.Get(),
			resource.client.Post().Body(resource.object),
			resource.client.Patch(types.MergePatchType).Name("kept").Body(patch),
			resource.client.Delete().Name("deleted").Body(&metav1.DeleteOptions{PropagationPolicy: &background}),
		} {
			request.Namespace(metav1.NamespaceDefault).Resource(resource.name).Param("timeout", timeout.String()).MaxRetries(0)
			running.Go(func() { resource.row[i] = request.Do(d.t.Context()).Error() })
		}
	}
	running.Wait()
	for i, request := range requests {
		d.t.Logf("%-6s a Job: %s", request, answer(jobs[i]))
		d.t.Logf("%-6s a ConfigMap: %s", request, answer(configMaps[i]))
	}
	return jobs, configMaps
}

// health asks Batchgate, past kube-apiserver, as a probe does.
func (d *drill) health(path string, exclude ...string) (code int, body string) {
	d.t.Helper()
	client, err := kubernetes.NewForConfig(d.DirectConfig())
	if err != nil {
		d.t.Fatal(err)
	}
	request := client.Discovery().RESTClient().Get().AbsPath(path)
	for _, check := range exclude {
		request = request.Param("exclude", check)
	}
	result := request.Do(d.t.Context()).StatusCode(&code)
	content, _ := result.Raw()
	return code, string(content)
}

// metric returns the sum of those samples of a metric of Batchgate that have all the labels.
func (d *drill) metric(name string, labels ...string) (sum float64) {
	d.t.Helper()
	code, body := d.health("/metrics")
	if code != http.StatusOK {
		d.t.Fatalf("the metrics are answered with %d", code)
	}
	for line := range strings.Lines(body) {
		var value float64
		sample, number, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.HasPrefix(sample, name+"{") || slices.ContainsFunc(labels, func(label string) bool { return !strings.Contains(sample, label) }) {
			continue
		}
		if _, err := fmt.Sscan(number, &value); err != nil {
			d.t.Fatalf("reading %q: %v", line, err)
		}
		sum += value
	}
	return sum
}
