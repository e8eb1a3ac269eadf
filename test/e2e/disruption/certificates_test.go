package disruption

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// New connections see another certificate; nobody notices.
func TestServingCertificateIsRenewedUnderLoadWithoutARestart(t *testing.T) {
	d := start(t, sayingWhatIsLoaded)
	serving := d.installCertified()
	load := d.startLoad()
	process := d.Batchgate.Exited()

	d.use()
	before := d.shown()
	d.plugin(0, "certificates", "--renew-before=8760h").says("serving certificate", "renewed, since")
	d.mount(serving)
	d.eventually("show another certificate", func() error {
		if d.shown().Equal(before) {
			return errors.New("it is still the same")
		}
		return nil
	})
	d.reconnect()
	d.use()

	if outcome := load.finish(d.EtcdURL()); outcome.failures > 0 {
		t.Errorf("requests have failed: %v", outcome.errors)
	}
	select {
	case <-process:
		t.Error("Batchgate has ended meanwhile")
	default:
	}
}

// At each moment what is shown is signed by one of those that are trusted.
func TestServingCAIsRotatedUnderLoad(t *testing.T) {
	d := start(t, sayingWhatIsLoaded)
	serving := d.installCertified()
	load := d.startLoad()

	old := d.secret("batchgate-ca").Data[corev1.TLSCertKey]
	d.plugin(0, "certificates", "--rotate-ca").says("created beside the old one", "recreated, since the CA is new", "kept: run this again")
	next := d.secret("batchgate-ca").Data[corev1.TLSCertKey]
	d.expectCAs("both", next, old)
	d.use()
	// The Secret has not reached the server yet.
	d.plugin(0, "certificates").says("old CA", "kept, since not all replicas", "certificate signed by unknown authority")
	d.plugin(2, "certificates", "--rotate-ca").says("run this without --rotate-ca until the old CA is dropped")
	d.expectCAs("both", next, old)

	d.mount(serving)
	d.eventually("show a certificate by the new CA", func() error { return verify(d.shown(), next) })
	d.reconnect()
	d.use()
	d.plugin(0, "certificates", "--dry-run").says("would be dropped")
	d.expectCAs("both", next, old)
	d.plugin(0, "certificates").says("dropped, 1 replicas have the new serving certificate")
	d.expectCAs("the new one", next)
	d.use()
	if stdout := d.plugin(0, "certificates").output; strings.Contains(stdout, "old CA") {
		t.Errorf("there is an old CA:\n%s", stdout)
	}

	if outcome := load.finish(d.EtcdURL()); outcome.failures > 0 {
		t.Errorf("requests have failed: %v", outcome.errors)
	}
	d.plugin(0, "status").says("True (Passed)")
}
