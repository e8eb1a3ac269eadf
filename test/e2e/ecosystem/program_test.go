// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// program is a controller. The names in its manifests start with its name, as usual with kustomize.
type program struct {
	// name is the name of the module under hack/tools, of the binary and of the example policy.
	name string
	// module is the path of the released module.
	module string
	// managesCerts is set if the program creates its webhook certificate, in a Secret.
	managesCerts bool
	// configuration overrides the configuration in the manifests.
	configuration object

	process *framework.Process
	dir     string
}

func (p *program) namespace() string { return p.name + "-system" }
func (p *program) account() string   { return p.name + "-controller-manager" }
func (p *program) user() string {
	return "system:serviceaccount:" + p.namespace() + ":" + p.account()
}

// install applies the manifests and starts the program, unless it is running. The program is a local
// process, and a Service of type ExternalName directs webhook calls to it. It stops with the cluster.
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
	source, err := downloadModule(ctx, p.name, p.module)
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

	rendered, _, err := cluster.Kubectl().Run(ctx, "kustomize", filepath.Join(source.Dir, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := p.createWebhookCert()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := parseManifests(rendered)
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := p.redirectWebhooks(objects, webhooks, ca)
	if err != nil {
		t.Fatal(err)
	}
	applyObjects(t, objects)
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
	if p.managesCerts {
		p.mountWebhookSecret(t)
	}
	if err := p.process.WaitForOK(ctx, "http://"+health+"/readyz"); err != nil {
		t.Fatal(err)
	}
}

func (p *program) file(name string) string { return filepath.Join(p.dir, name) }

// module is a module in the module cache.
type module struct{ Dir, Version string }

// downloadModule returns a module that a module under hack/tools requires, or PATH@VERSION.
func downloadModule(ctx context.Context, tools, path string) (m module, err error) {
	root, err := framework.Root()
	if err != nil {
		return m, err
	}
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", path)
	download.Dir = filepath.Join(root, "hack", "tools", tools)
	output, err := download.Output()
	if err != nil {
		return m, fmt.Errorf("downloading %s: %w: %s", path, err, output)
	}
	return m, json.Unmarshal(output, &m)
}

// logContains returns an error unless the program's log contains the text.
func (p *program) logContains(text string) error {
	return fileContains(p.process.LogFile(), text)
}
