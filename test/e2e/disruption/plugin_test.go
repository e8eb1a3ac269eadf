// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/batchgate/batchgate/cmd/kubectl-batchgate/app"
)

// pluginOutput is the output of one run of the kubectl plugin.
type pluginOutput struct {
	t    *testing.T
	text string
}

// has fails the test unless the output contains each of the texts.
func (o pluginOutput) has(texts ...string) {
	o.t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.text, text) {
			o.t.Errorf("the plugin did not print %q:\n%s", text, o.text)
		}
	}
}

// plugin runs the kubectl plugin, which must exit with the code.
func (s *scenario) plugin(code int, args ...string) pluginOutput {
	s.t.Helper()
	output, got := s.runPlugin(args...)
	if got != code {
		s.t.Fatalf("kubectl batchgate %s exited with %d, want %d:\n%s", strings.Join(args, " "), got, code, output)
	}
	if strings.Contains(output, "PRIVATE KEY") {
		s.t.Errorf("the plugin printed a key:\n%s", output)
	}
	return pluginOutput{s.t, output}
}

// startPlugin runs the kubectl plugin in the background. The channel receives the exit code and
// the output, like "0\noutput".
func (s *scenario) startPlugin(args ...string) <-chan string {
	done := make(chan string, 1)
	go func() {
		output, code := s.runPlugin(args...)
		done <- fmt.Sprintf("%d\n%s", code, output)
	}()
	return done
}

// runPlugin runs the kubectl plugin in this process and returns its output and exit code.
func (s *scenario) runPlugin(args ...string) (string, int) {
	all := slices.Concat([]string{"--kubeconfig=" + s.Kubeconfig}, args)
	// No kubelet forwards ports here, and the Service uses the port of the process, which is 0 before the
	// installation.
	if direct, err := url.Parse(s.DirectConfig().Host); err == nil && direct.Port() != "0" {
		all = append(all, "--batchgate-server="+direct.Host, "--service-port="+direct.Port())
	}
	var output bytes.Buffer
	code := app.Main(s.t.Context(), genericiooptions.IOStreams{In: strings.NewReader(""), Out: &output, ErrOut: &output}, all)
	return output.String(), code
}
