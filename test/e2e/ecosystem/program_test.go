package ecosystem

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

// program is a controller that its manifests install with kustomize's usual names: all of them
// begin with the program's.
type program struct {
	// name is that of the module hack/<name>, of its binary and of its example policy.
	name string
	// module is where it is released.
	module string
	// certifies is set if it makes the certificate of its webhooks itself, in a Secret.
	certifies bool
	// configuration is what its own one has other values for.
	configuration object

	process *framework.Process
	dir     string
}

func (p *program) namespace() string { return p.name + "-system" }
func (p *program) account() string   { return p.name + "-controller-manager" }
func (p *program) user() string {
	return "system:serviceaccount:" + p.namespace() + ":" + p.account()
}

// install starts the program, as its manifests do, but for the place: it is a process of this
// machine, so its webhooks are behind a Service of type ExternalName. It runs on after the test.
func (p *program) install(t *testing.T) {
	t.Helper()
	if p.process != nil {
		return
	}
	ctx := t.Context()
	binary, err := framework.BuildTool(ctx, p.name)
	if err != nil {
		t.Fatal(err)
	}
	source, err := p.source(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p.dir = filepath.Join(cluster.Dir, p.name)
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ports := [2]int{}
	for i := range ports {
		if ports[i], err = framework.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	webhooks, health := ports[0], fmt.Sprintf("127.0.0.1:%d", ports[1])

	rendered, _, err := cluster.Kubectl().Run(ctx, "kustomize", filepath.Join(source, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := p.certificate()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := parse(rendered)
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := p.relocate(objects, webhooks, ca)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, objects)
	if err := cluster.WriteServiceAccountKubeconfig(ctx, p.namespace(), p.account(), p.file("kubeconfig")); err != nil {
		t.Fatal(err)
	}
	merge(configuration, object{
		"leaderElection": object{"leaderElect": false},
		"webhook":        object{"host": "127.0.0.1", "port": webhooks, "certDir": p.file("certs")},
		"metrics":        object{"bindAddress": "0"},
		"health":         object{"healthProbeBindAddress": health},
	})
	merge(configuration, p.configuration)
	content, err := yaml.Marshal(configuration)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.file("config.yaml"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	p.process, err = cluster.StartController(p.name, binary, "--config="+p.file("config.yaml"), "--kubeconfig="+p.file("kubeconfig"), "--zap-log-level=2")
	if err != nil {
		t.Fatal(err)
	}
	if p.certifies {
		p.mountSecret(t)
	}
	if err := p.process.WaitForOK(ctx, "http://"+health+"/readyz"); err != nil {
		t.Fatal(err)
	}
}

func (p *program) file(name string) string { return filepath.Join(p.dir, name) }

// source returns the directory of the program's module.
func (p *program) source(ctx context.Context) (string, error) {
	root, err := framework.Root()
	if err != nil {
		return "", err
	}
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", p.module)
	download.Dir = filepath.Join(root, "hack", p.name)
	output, err := download.Output()
	if err != nil {
		return "", fmt.Errorf("downloading %s: %w: %s", p.module, err, output)
	}
	var module struct{ Dir string }
	return module.Dir, json.Unmarshal(output, &module)
}

// logged reports whether the program's log has the text.
func (p *program) logged(text string) error {
	return contains(p.process.LogFile(), text)
}
