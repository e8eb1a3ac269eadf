package options

import (
	"crypto/x509/pkix"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/pkg/pki"
)

func TestValidateClusterNamesEveryKubeconfigThatCannotBeUsed(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // where the test itself runs in a cluster
	dir := t.TempDir()
	ca, err := pki.LoadOrCreate(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"), "test")
	if err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "kubeconfig")
	if err := ca.WriteKubeconfig(good, "https://192.0.2.1", pkix.Name{CommonName: "test"}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"one for all":            {[]string{"--kubeconfig=" + good}, nil},
		"one for each":           {[]string{"--kubeconfig=" + good, "--authentication-kubeconfig=" + good, "--authorization-kubeconfig=" + good}, nil},
		"none":                   {nil, []string{"--kubeconfig is required outside of a cluster"}},
		"a missing file":         {[]string{"--kubeconfig=/nowhere"}, []string{"reading --kubeconfig: stat /nowhere"}},
		"a file of another kind": {[]string{"--kubeconfig=" + filepath.Join(dir, "ca.crt")}, []string{"reading --kubeconfig: "}},
		"two, and a flag": {
			[]string{"--kubeconfig=" + good, "--authentication-kubeconfig=/n", "--authorization-kubeconfig=/z", "--secure-port=0"},
			[]string{"reading --authentication-kubeconfig: stat /n", "reading --authorization-kubeconfig: stat /z", "--secure-port must not be 0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := parse(t, append(tc.args, required...)...)
			if err := o.Complete(); err != nil {
				t.Fatal(err)
			}
			err := o.ValidateCluster()
			if len(tc.want) == 0 && err != nil {
				t.Error(err)
			}
			for _, want := range tc.want {
				if err == nil || strings.Count(err.Error(), want) != 1 {
					t.Errorf("the error is\n%v\nwant in it, once,\n%s", err, want)
				}
			}
		})
	}
}
