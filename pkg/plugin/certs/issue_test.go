// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

func TestCertificates_Due(t *testing.T) {
	service := cluster.Service{Namespace: "a", Name: "b"}
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
	forClients := etcdMemberTemplate(service)
	forClients.ExtKeyUsage = etcdClientTemplate(service).ExtKeyUsage

	for name, tc := range map[string]struct {
		data        map[string][]byte
		renewBefore time.Duration
		want        string // empty if the certificate is not due
	}{
		"valid certificate":      {data: right},
		"empty Secret":           {data: nil, want: "created"},
		"unreadable certificate": {data: map[string][]byte{certKey: []byte("x"), keyKey: right[keyKey]}, want: "is unreadable"},
		"missing key":            {data: map[string][]byte{certKey: right[certKey]}, want: "the key does not match"},
		"other key":              {data: map[string][]byte{certKey: right[certKey], keyKey: sign(ca, withoutName)[keyKey]}, want: "the key does not match"},
		"missing name":           {data: sign(ca, withoutName), want: "lacks the name batchgate-etcd.a.svc"},
		"missing address":        {data: sign(ca, withoutAddress), want: "lacks the address 127.0.0.1"},
		"other server":           {data: sign(ca, servingTemplate(service)), want: "lacks the name"},
		"other CA":               {data: sign(other, etcdMemberTemplate(service)), want: "the CA is new"},
		"sufficient validity":    {data: right, renewBefore: 364 * 24 * time.Hour},
		"insufficient validity":  {data: right, renewBefore: 366 * 24 * time.Hour, want: "renewed, since"},
		"client certificate":     {data: sign(ca, forClients), want: "has another purpose"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Certificates{RenewBefore: tc.renewBefore, secrets: map[string]*corev1.Secret{"s": {Data: tc.data}}}
			_, got := c.due("s", ca, etcdMemberTemplate(service))
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("due is %q, want %q", got, tc.want)
			}
		})
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
