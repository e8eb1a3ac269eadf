package certificates

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/pkg/takeover"
)

func TestACertificateIsDueForAReason(t *testing.T) {
	service := takeover.Service{Namespace: "a", Name: "b"}
	ca, other := newAuthority(t), newAuthority(t)
	sign := func(ca *authority, template x509.Certificate) map[string][]byte {
		cert, key, err := ca.Sign(template)
		if err != nil {
			t.Fatal(err)
		}
		return map[string][]byte{certKey: cert, keyKey: key}
	}
	right := sign(ca, etcdMemberTemplate(service))
	withoutAddress := etcdMemberTemplate(service)
	withoutAddress.IPAddresses = nil
	withoutName := etcdMemberTemplate(service)
	withoutName.DNSNames = withoutName.DNSNames[1:]

	for name, tc := range map[string]struct {
		data        map[string][]byte
		renewBefore time.Duration
		want        string // nothing if it is not due
	}{
		"as it should be":       {data: right},
		"nothing there":         {data: nil, want: "made"},
		"no certificate":        {data: map[string][]byte{certKey: []byte("x"), keyKey: right[keyKey]}, want: "cannot be read"},
		"no key":                {data: map[string][]byte{certKey: right[certKey]}, want: "its key is another one's"},
		"another key":           {data: map[string][]byte{certKey: right[certKey], keyKey: sign(ca, withoutName)[keyKey]}, want: "its key is another one's"},
		"a name is missing":     {data: sign(ca, withoutName), want: "lacks the name batchgate-etcd.a.svc"},
		"an address is missing": {data: sign(ca, withoutAddress), want: "lacks the address 127.0.0.1"},
		"for another server":    {data: sign(ca, servingTemplate(service)), want: "lacks the name"},
		"another CA":            {data: sign(other, etcdMemberTemplate(service)), want: "by the new CA"},
		"it lasts long enough":  {data: right, renewBefore: 364 * 24 * time.Hour},
		"it ends soon":          {data: right, renewBefore: 366 * 24 * time.Hour, want: "renewed, since"},
		"a client's, not a server's": {data: func() map[string][]byte {
			template := etcdMemberTemplate(service)
			template.ExtKeyUsage = etcdClientTemplate(service).ExtKeyUsage
			return sign(ca, template)
		}(), want: "for something else"},
	} {
		c := &Certificates{RenewBefore: tc.renewBefore, secrets: map[string]*corev1.Secret{"s": {Data: tc.data}}}
		_, got := c.due("s", ca, etcdMemberTemplate(service))
		if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s: due is %q, want %q", name, got, tc.want)
		}
	}
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	ca, _, err := pki.New("ca")
	if err != nil {
		t.Fatal(err)
	}
	return &authority{Authority: ca}
}
