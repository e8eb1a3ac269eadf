package disruption

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// lateLabel is that of Jobs that a webhook lets wait.
const lateLabel = "late"

// letWait makes a webhook let Jobs with the label wait for some time, and returns what tells that
// one does.
func (d *drill) letWait(duration, timeout time.Duration) <-chan struct{} {
	d.t.Helper()
	asked := make(chan struct{}, 10)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		time.Sleep(duration)
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		review.Request = nil
		_ = json.NewEncoder(w).Encode(review)
	}))
	d.t.Cleanup(server.Close)
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "slow"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "slow.drill.batchgate.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      ptr.To(server.URL),
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{batchv1.GroupName}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}},
			}},
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{lateLabel: ""}},
			TimeoutSeconds:          ptr.To(int32(timeout.Seconds())),
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
	if _, err := d.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(d.t.Context(), configuration, metav1.CreateOptions{}); err != nil {
		d.t.Fatal(err)
	}
	return asked
}

// A write that the freeze did not stop, since a webhook held it up, comes after the freeze has
// been seen everywhere. A second admin comes too.
func TestImportWaitsForWritesUnderWayAndLetsNoOtherBegin(t *testing.T) {
	t.Parallel()
	d := startOwnEtcd(t)
	asked := d.letWait(15*time.Second, 20*time.Second)
	late := make(chan error, 1)
	// The webhook is in force a moment after it was made.
	for i, waits := 0, false; !waits; i++ {
		job := newJob(fmt.Sprintf("late-%d", i))
		job.Labels = map[string]string{lateLabel: ""}
		go func() {
			_, err := d.Client.BatchV1().Jobs(d.namespace).Create(t.Context(), job, metav1.CreateOptions{})
			late <- err
		}()
		select {
		case <-asked:
			waits = true
		case err := <-late:
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	done := make(chan string, 1)
	go func() {
		output, code := d.runPlugin(d.importArgs("--wait-for-controllers=0")...)
		done <- fmt.Sprintf("%d\n%s", code, output)
	}()
	d.eventually("freeze", func() error { return d.frozen(true) })
	d.plugin(2, d.importArgs()...).says("if none is running, give --resume", "nothing was changed")
	if err := <-late; err != nil {
		t.Fatalf("what was admitted before was refused: %v", err)
	}
	output := <-done
	if !strings.HasPrefix(output, "0\n") || !strings.Contains(output, "for 30s") {
		t.Fatalf("the import failed:\n%s", output)
	}
	served, err := d.Client.BatchV1().Jobs(d.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: lateLabel})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := d.storedJobs(d.own)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, job := range stored {
		if _, ok := job.Labels[lateLabel]; ok {
			kept++
		}
	}
	if kept == 0 || kept != len(served.Items) {
		t.Errorf("%d late Jobs are stored, and %d served", kept, len(served.Items))
	}
	d.checkMoved(5)
}
