package drills

import (
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// pluginArgs returns the arguments of a command of the plugin that reaches this cluster: no
// kubelet forwards a port here, and the Service has the port of the process.
func (d *drill) pluginArgs(args ...string) []string {
	d.t.Helper()
	direct, err := url.Parse(d.DirectConfig().Host)
	if err != nil {
		d.t.Fatal(err)
	}
	return append(args, "--batchgate-server="+direct.Host, "--service-port="+direct.Port())
}

func (d *drill) importArgs(args ...string) []string {
	return append(d.pluginArgs("import", "--etcd-servers="+d.OwnEtcd), args...)
}

// plugin runs kubectl batchgate, and returns what it has written and its exit code.
func (d *drill) plugin(args []string) (output string, code int) {
	stdout, stderr, err := d.Kubectl().WithEnv("PATH", filepath.Dir(binaries.Plugin)+":"+os.Getenv("PATH")).Run(d.t.Context(), append([]string{"batchgate"}, args...)...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		return err.Error(), -1
	}
	return stdout + stderr, code
}

// expectPlugin runs the plugin, which must end with the code and print the texts.
func (d *drill) expectPlugin(code int, args []string, texts ...string) {
	d.t.Helper()
	output, got := d.plugin(args)
	if got != code {
		d.t.Fatalf("kubectl batchgate %s ended with %d, want %d:\n%s", strings.Join(args, " "), got, code, output)
	}
	for _, text := range texts {
		if !strings.Contains(output, text) {
			d.t.Errorf("kubectl batchgate %s does not say %q:\n%s", strings.Join(args, " "), text, output)
		}
	}
}
