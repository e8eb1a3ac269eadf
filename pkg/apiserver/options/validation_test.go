// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"crypto/x509/pkix"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"github.com/batchgate/batchgate/pkg/pki"
)

func TestOptions_Validate_Valid(t *testing.T) {
	for name, args := range map[string][]string{
		"external etcd": requiredArgs,
		"embedded etcd": {"--embedded-etcd-directory=d", "--tls-cert-file=a.crt", "--tls-private-key-file=a.key"},
		"optional flags": append([]string{
			"--etcd-prefix=/other", "--secure-port=443", "--kubeconfig=k", "--audit-log-path=-",
			"--disable-admission-plugins=PodSecurity", "--serve-self-link=false", "--shutdown-delay-duration=5s",
		}, requiredArgs...),
	} {
		t.Run(name, func(t *testing.T) {
			if err := parse(t, args...).Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOptions_Validate_Invalid(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no etcd":        {requiredArgs[1:], "--etcd-servers must be specified"},
		"no certificate": {[]string{requiredArgs[0], requiredArgs[2]}, "--tls-cert-file and --tls-private-key-file are required"},
		"no key":         {requiredArgs[:2], "--tls-cert-file and --tls-private-key-file are required"},
		"external and embedded etcd": {
			append([]string{"--embedded-etcd-directory=d"}, requiredArgs...),
			"--etcd-servers and --embedded-etcd-directory are mutually exclusive",
		},
		"port 0":             {append([]string{"--secure-port=0"}, requiredArgs...), "--secure-port must not be 0"},
		"port out of range":  {append([]string{"--secure-port=70000"}, requiredArgs...), "--secure-port 70000 must be between"},
		"unknown plugin":     {append([]string{"--enable-admission-plugins=Nope"}, requiredArgs...), "Nope"},
		"negative limit":     {append([]string{"--max-requests-inflight=-1"}, requiredArgs...), "--max-requests-inflight can not be negative"},
		"negative delay":     {append([]string{"--shutdown-delay-duration=-1s"}, requiredArgs...), "--shutdown-delay-duration can not be negative"},
		"unknown media type": {append([]string{"--storage-media-type=text/plain"}, requiredArgs...), "--storage-media-type"},
	} {
		t.Run(name, func(t *testing.T) {
			err := parse(t, tc.args...).Validate()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error\n%v\nwant it to contain\n%s", err, tc.want)
			}
		})
	}
}

func TestOptions_Validate_AllErrors(t *testing.T) {
	err := parse(t,
		"--secure-port=70000", "--max-requests-inflight=-1", "--enable-admission-plugins=Nope",
		"--audit-log-path=-", "--audit-log-maxage=-1", "--audit-log-format=xml", "--logging-format=xml",
	).Validate()
	aggregate, ok := err.(utilerrors.Aggregate)
	if !ok {
		t.Fatalf("got error %T, want an aggregate: %v", err, err)
	}
	for _, want := range []string{
		"--etcd-servers", "--tls-cert-file", "--secure-port", "--max-requests-inflight", `"Nope"`,
		"audit-log-maxage", "audit log format", "Unsupported log format",
	} {
		found := slices.ContainsFunc(aggregate.Errors(), func(err error) bool {
			return strings.Contains(err.Error(), want)
		})
		if !found {
			t.Errorf("no error about %s in\n%v", want, err)
		}
	}
}

func TestOptions_ValidateCluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // The test itself may run in a cluster.
	dir := t.TempDir()
	ca, err := pki.LoadOrCreate(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"), "test")
	if err != nil {
		t.Fatal(err)
	}
	valid := filepath.Join(dir, "kubeconfig")
	if err := ca.WriteKubeconfig(valid, "https://192.0.2.1", pkix.Name{CommonName: "test"}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"one kubeconfig":    {[]string{"--kubeconfig=" + valid}, nil},
		"three kubeconfigs": {[]string{"--kubeconfig=" + valid, "--authentication-kubeconfig=" + valid, "--authorization-kubeconfig=" + valid}, nil},
		"no kubeconfig":     {nil, []string{"--kubeconfig is required outside of a cluster"}},
		"missing file":      {[]string{"--kubeconfig=/nowhere"}, []string{"reading --kubeconfig: stat /nowhere"}},
		"not a kubeconfig":  {[]string{"--kubeconfig=" + filepath.Join(dir, "ca.crt")}, []string{"reading --kubeconfig: "}},
		"two missing files and an invalid port": {
			[]string{"--kubeconfig=" + valid, "--authentication-kubeconfig=/n", "--authorization-kubeconfig=/z", "--secure-port=0"},
			[]string{"reading --authentication-kubeconfig: stat /n", "reading --authorization-kubeconfig: stat /z", "--secure-port must not be 0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := parse(t, append(tc.args, requiredArgs...)...)
			if err := o.Complete(); err != nil {
				t.Fatal(err)
			}
			err := o.ValidateCluster()
			if len(tc.want) == 0 && err != nil {
				t.Error(err)
			}
			for _, want := range tc.want {
				if err == nil || strings.Count(err.Error(), want) != 1 {
					t.Errorf("got error\n%v\nwant it to contain once\n%s", err, want)
				}
			}
		})
	}
}
