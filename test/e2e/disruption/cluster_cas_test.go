package disruption

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/test/framework"
)

// sayingWhatIsLoaded is a kube-apiserver that logs which certificates it has loaded.
var sayingWhatIsLoaded = framework.Features{APIServerArgs: []string{"--v=2"}}

// Batchgate learns of the cluster's CAs from the ConfigMap that kube-apiserver keeps.
func TestCAsOfOthersAreRotatedUnderLoad(t *testing.T) {
	d := start(t, sayingWhatIsLoaded)
	d.install()
	d.plugin(0, "takeover")
	load := d.startLoad()

	t.Run("client CA", func(t *testing.T) { d.with(t).rotateClientCA() })
	t.Run("front-proxy CA", func(t *testing.T) { d.with(t).rotateFrontProxyCA() })
	t.Run("an admin's serving CA", func(t *testing.T) { d.with(t).replaceServingCA() })

	if outcome := load.finish(d.EtcdURL()); outcome.failures > 0 {
		t.Errorf("requests have failed: %v", outcome.errors)
	}
}

// rotateClientCA changes the CA of some users. That of the components, which is in the same
// file, stays.
func (d *drill) rotateClientCA() {
	file := d.pki("ca.crt")
	components, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	old, next := d.newCA("users-1"), d.newCA("users-2")
	oldUser, nextUser := d.user(old, "system:masters"), d.user(next, "system:masters")

	d.write(file, components, old.CertPEM)
	d.accepted("a user of the old CA", oldUser)
	d.refused("a user of the new CA", nextUser)
	d.write(file, components, old.CertPEM, next.CertPEM)
	d.accepted("a user of the new CA", nextUser)
	d.accepted("a user of the old CA", oldUser)
	d.use()
	d.write(file, components, next.CertPEM)
	d.forget(old)
	d.refused("a user of the old CA", oldUser)
	d.accepted("a user of the new CA", nextUser)
	d.use()
}

// rotateFrontProxyCA changes the CA and the certificate by which kube-apiserver passes requests
// on to Batchgate. Whoever has such a certificate is believed whom he acts for.
func (d *drill) rotateFrontProxyCA() {
	file := d.pki("front-proxy-ca.crt")
	old, err := pki.LoadOrCreate(file, d.pki("front-proxy-ca.key"), "")
	if err != nil {
		d.t.Fatal(err)
	}
	next := d.newCA("front-proxy-2")
	oldProxy, nextProxy := d.proxy(old), d.proxy(next)

	d.accepted("the old proxy", oldProxy)
	d.refused("the new proxy", nextProxy)
	d.write(file, old.CertPEM, next.CertPEM)
	d.accepted("the new proxy", nextProxy)
	d.use()

	d.renewProxy(nextProxy)
	d.use()

	d.write(file, next.CertPEM)
	d.forget(old)
	d.refused("the old proxy", oldProxy)
	d.accepted("the new proxy", nextProxy)
	d.use()
}

// renewProxy gives kube-apiserver another certificate as a front proxy. With that it makes new
// connections to Batchgate, which it otherwise keeps.
func (d *drill) renewProxy(proxy *rest.Config) {
	d.t.Helper()
	loaded := d.proxyCertificatesLoaded()
	d.write(d.pki("front-proxy.key"), proxy.KeyData)
	d.write(d.pki("front-proxy.crt"), proxy.CertData)
	d.eventually("have kube-apiserver load its new certificate", func() error {
		if d.proxyCertificatesLoaded() == loaded {
			return errors.New("its log does not say so")
		}
		return nil
	})
}

// reconnect makes kube-apiserver connect to Batchgate anew.
func (d *drill) reconnect() {
	d.t.Helper()
	ca, err := pki.LoadOrCreate(d.pki("front-proxy-ca.crt"), d.pki("front-proxy-ca.key"), "")
	if err != nil {
		d.t.Fatal(err)
	}
	d.renewProxy(d.proxy(ca))
}

// replaceServingCA changes from a serving certificate that an admin has made to that of the
// plugin.
func (d *drill) replaceServingCA() {
	d.plugin(0, "certificates").says("CA in v1.batch", "added to 1", "kept: run this again")
	next := d.secret("batchgate-ca").Data[corev1.TLSCertKey]
	d.use()
	d.plugin(0, "certificates").says("kept, since not all replicas")
	serving := d.secret(policy.ServingSecret).Data
	d.write(d.pki("batchgate.key"), serving[corev1.TLSPrivateKeyKey])
	d.write(d.pki("batchgate.crt"), serving[corev1.TLSCertKey])
	d.eventually("show the plugin's certificate", func() error { return verify(d.shown(), next) })
	d.use()
	d.plugin(0, "certificates").says("old CA", "dropped")
	d.expectCAs("the plugin's", next)
	d.use()
}

// forget waits until kube-apiserver trusts a CA no more, and removes it from the ConfigMap:
// kube-apiserver adds what it trusts to what is there, and takes nothing out that has not
// expired. Deleted, the ConfigMap is made anew at once.
func (d *drill) forget(ca *pki.Authority) {
	d.t.Helper()
	configMaps := d.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	d.eventually("have a ConfigMap without the old CA", func() error {
		configMap, err := configMaps.Get(d.t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
		if err != nil {
			return err
		}
		all := configMap.Data["client-ca-file"] + configMap.Data["requestheader-client-ca-file"]
		if !strings.Contains(all, string(ca.CertPEM)) {
			return nil
		}
		if err := configMaps.Delete(d.t.Context(), configMap.Name, metav1.DeleteOptions{}); err != nil {
			return err
		}
		return errors.New("it has the old one yet")
	})
}

// accepted waits until Batchgate, asked directly, does what the client asks for.
func (d *drill) accepted(who string, config *rest.Config) {
	d.t.Helper()
	d.eventually("have "+who+" accepted", func() error { return d.listAs(config) })
}

// refused waits until Batchgate, asked directly, does not know the client.
func (d *drill) refused(who string, config *rest.Config) {
	d.t.Helper()
	d.eventually("have "+who+" refused", func() error {
		if err := d.listAs(config); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("the answer is %w", err)
		}
		return nil
	})
}

func (d *drill) listAs(config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.BatchV1().Jobs(d.namespace).List(d.t.Context(), metav1.ListOptions{Limit: 1})
	return err
}

// user returns the way to Batchgate of a user in a group, with a certificate of the CA.
func (d *drill) user(ca *pki.Authority, group string) *rest.Config {
	return d.client(ca, pkix.Name{CommonName: "user", Organization: []string{group}})
}

// proxy returns that of a front proxy, on behalf of an admin.
func (d *drill) proxy(ca *pki.Authority) *rest.Config {
	config := d.client(ca, pkix.Name{CommonName: "front-proxy-client"})
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return transport.NewAuthProxyRoundTripper("admin", "", []string{"system:masters"}, nil, next)
	})
	return config
}

func (d *drill) client(ca *pki.Authority, name pkix.Name) *rest.Config {
	d.t.Helper()
	config := d.DirectConfig()
	config.CertFile, config.KeyFile = "", ""
	var err error
	config.CertData, config.KeyData, err = ca.Sign(x509.Certificate{Subject: name, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		d.t.Fatal(err)
	}
	return config
}

func (d *drill) newCA(name string) *pki.Authority {
	d.t.Helper()
	ca, _, err := pki.New(name)
	if err != nil {
		d.t.Fatal(err)
	}
	return ca
}

// pki returns the path of a file of the control plane's certificates.
func (d *drill) pki(name string) string { return filepath.Join(d.Dir, "pki", name) }

func (d *drill) write(file string, contents ...[]byte) {
	d.t.Helper()
	if err := pki.WriteFile(file, bytes.Join(contents, nil)); err != nil {
		d.t.Fatal(err)
	}
}

// proxyCertificatesLoaded counts how often kube-apiserver has loaded the certificate of its
// front proxy.
func (d *drill) proxyCertificatesLoaded() int {
	d.t.Helper()
	log, err := os.ReadFile(d.APIServer.LogFile())
	if err != nil {
		d.t.Fatal(err)
	}
	return bytes.Count(log, []byte(`"Loaded a new cert/key pair" name="aggregator-proxy-cert::`))
}
