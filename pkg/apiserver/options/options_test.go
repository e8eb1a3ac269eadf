// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

func TestNew(t *testing.T) {
	o := New()
	if got := o.Etcd.StorageConfig.Prefix; got != "/registry" {
		t.Errorf("--etcd-prefix is %q, want kube-apiserver's default", got)
	}
	if got := o.Etcd.DefaultStorageMediaType; got != runtime.ContentTypeProtobuf {
		t.Errorf("--storage-media-type is %q, want kube-apiserver's default", got)
	}
	if got := o.SecureServing.BindPort; got != 8443 {
		t.Errorf("--secure-port is %d, want 8443", got)
	}
	if !o.ServeSelfLink {
		t.Error("--serve-self-link is false")
	}
	if !o.AllowPrivileged {
		t.Error("--allow-privileged is false, which rejects Jobs that most clusters allow")
	}
	if o.EmbeddedEtcd.Directory != "" {
		t.Errorf("--embedded-etcd-directory is %q, want none", o.EmbeddedEtcd.Directory)
	}
}

func TestOptions_Complete(t *testing.T) {
	for name, tc := range map[string]struct {
		args                                  []string
		wantAuthentication, wantAuthorization string
	}{
		"one kubeconfig":    {[]string{"--kubeconfig=k"}, "k", "k"},
		"three kubeconfigs": {[]string{"--kubeconfig=k", "--authentication-kubeconfig=n", "--authorization-kubeconfig=z"}, "n", "z"},
		"no kubeconfig":     {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := parse(t, tc.args...)
			if err := o.Complete(); err != nil {
				t.Fatal(err)
			}
			if got := o.Authentication.RemoteKubeConfigFile; got != tc.wantAuthentication {
				t.Errorf("got authentication kubeconfig %q, want %q", got, tc.wantAuthentication)
			}
			if got := o.Authorization.RemoteKubeConfigFile; got != tc.wantAuthorization {
				t.Errorf("got authorization kubeconfig %q, want %q", got, tc.wantAuthorization)
			}
		})
	}
}
