package disruption

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/test/framework"
)

// installCertified installs Batchgate with a certificate of the plugin's, takes v1.batch over,
// and returns the directory in which the server finds the certificate.
func (d *drill) installCertified() string {
	d.t.Helper()
	dir := d.t.TempDir()
	err := d.InstallWith(d.t.Context(), func(context.Context) (framework.Serving, error) {
		d.plugin(0, "certificates").says("created, valid until", "see artifacts/apiservice/policy")
		d.mount(dir)
		return framework.Serving{
			CertFile: filepath.Join(dir, corev1.TLSCertKey), KeyFile: filepath.Join(dir, corev1.TLSPrivateKeyKey),
			CA: d.secret(policy.ServingSecret).Data["ca.crt"],
		}, nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	// The Secret is enough to know the CA by, where no APIService has it.
	if _, _, err := d.Kubectl().Run(d.t.Context(), "delete", "apiservice", policy.PolicyAPIService); err != nil {
		d.t.Fatal(err)
	}
	d.plugin(0, "takeover")
	if err := d.ServePolicies(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	return dir
}

// secret reads one of Batchgate's Secrets.
func (d *drill) secret(name string) *corev1.Secret {
	d.t.Helper()
	secret, err := d.Client.CoreV1().Secrets(framework.Namespace).Get(d.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	return secret
}

// mount writes the serving certificate's Secret to a directory as a kubelet does: to a new
// directory, with one link that is turned to it.
func (d *drill) mount(dir string) {
	d.t.Helper()
	if err := mount(dir, d.secret(policy.ServingSecret).Data); err != nil {
		d.t.Fatal(err)
	}
}

func mount(dir string, data map[string][]byte) error {
	const link = "..data"
	fresh, err := os.MkdirTemp(dir, "..data_")
	if err != nil {
		return err
	}
	for name, content := range data {
		if err := os.WriteFile(filepath.Join(fresh, name), content, 0o600); err != nil {
			return err
		}
	}
	before, err := os.Readlink(filepath.Join(dir, link))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(filepath.Base(fresh), filepath.Join(dir, "..tmp")); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, link)); err != nil {
		return err
	}
	if before != "" {
		return os.RemoveAll(filepath.Join(dir, before))
	}
	for name := range data {
		if err := os.Symlink(filepath.Join(link, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// shown returns the certificate that Batchgate shows to whoever connects now.
func (d *drill) shown() *x509.Certificate {
	d.t.Helper()
	config := d.DirectConfig()
	direct, err := url.Parse(config.Host)
	if err != nil {
		d.t.Fatal(err)
	}
	// It is what this is to find out.
	conn, err := tls.Dial("tcp", direct.Host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// verify verifies a certificate as kube-apiserver does.
func verify(cert *x509.Certificate, caBundle []byte) error {
	roots, err := certutil.NewPoolFromBytes(caBundle)
	if err != nil {
		return err
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: framework.Name + "." + framework.Namespace + ".svc"})
	return err
}

// expectCAs expects these CAs, in this order, wherever they are looked for.
func (d *drill) expectCAs(what string, cas ...[]byte) {
	d.t.Helper()
	want := bytes.Join(cas, nil)
	for _, name := range []string{"batchgate-ca", policy.ServingSecret} {
		if got := d.secret(name).Data["ca.crt"]; !bytes.Equal(got, want) {
			d.t.Errorf("Secret %s has not %s:\n%s", name, what, got)
		}
	}
	api, err := cluster.New(d.Config)
	if err != nil {
		d.t.Fatal(err)
	}
	registrations, err := api.Registrations(d.t.Context(), cluster.Service{Namespace: framework.Namespace, Name: framework.Name})
	if err != nil {
		d.t.Fatal(err)
	}
	if len(registrations) != 2 {
		d.t.Errorf("%d APIServices name the Service, want 2", len(registrations))
	}
	for _, r := range registrations {
		if !bytes.Equal(r.CABundle, want) {
			d.t.Errorf("APIService %s has not %s:\n%s", r.Name, what, r.CABundle)
		}
	}
}

// use waits until the load has made some more Jobs, and sends requests beside it, none of which
// may fail.
func (d *drill) use() {
	d.t.Helper()
	etcd := openEtcd(d.t, []string{d.EtcdURL()}, "", "", "")
	before, err := d.storedJobs(etcd)
	if err != nil {
		d.t.Fatal(err)
	}
	jobs := d.Client.BatchV1().Jobs(d.namespace)
	d.eventually("see the load go on", func() error {
		if _, err := jobs.Create(d.t.Context(), newJob("use"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			d.t.Fatal(err)
		}
		now, err := d.storedJobs(etcd)
		if err == nil && len(now) < len(before)+10 {
			err = fmt.Errorf("%d Jobs after %d", len(now), len(before))
		}
		return err
	})
}
