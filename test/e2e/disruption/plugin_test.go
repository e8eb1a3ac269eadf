package disruption

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/batchgate/batchgate/cmd/kubectl-batchgate/app"
)

// said is what the plugin has printed.
type said struct {
	t      *testing.T
	output string
}

func (s said) says(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if !strings.Contains(s.output, text) {
			s.t.Errorf("the plugin does not say %q:\n%s", text, s.output)
		}
	}
}

// plugin runs the kubectl plugin, which must end with the code.
func (d *drill) plugin(code int, args ...string) said {
	d.t.Helper()
	output, got := d.runPlugin(args...)
	if got != code {
		d.t.Fatalf("kubectl batchgate %s ended with %d, want %d:\n%s", strings.Join(args, " "), got, code, output)
	}
	if strings.Contains(output, "PRIVATE KEY") {
		d.t.Errorf("the plugin has printed a key:\n%s", output)
	}
	return said{d.t, output}
}

// runPlugin runs the kubectl plugin in this process, and returns what it has printed and its
// exit code.
func (d *drill) runPlugin(args ...string) (string, int) {
	all := slices.Concat([]string{"--kubeconfig=" + d.Kubeconfig}, args)
	// No kubelet forwards a port here, and the Service has the port of the process.
	if direct, err := url.Parse(d.DirectConfig().Host); err == nil && d.Batchgate != nil {
		all = append(all, "--batchgate-server="+direct.Host, "--service-port="+direct.Port())
	}
	var output bytes.Buffer
	code := app.Main(d.t.Context(), genericiooptions.IOStreams{In: strings.NewReader(""), Out: &output, ErrOut: &output}, all)
	return output.String(), code
}
