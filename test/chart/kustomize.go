// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

const standalone = "standalone"

// Components of artifacts/components.
const (
	audit       = "audit"
	certManager = "cert-manager"
	events      = "events"
	monitoring  = "monitoring"
)

// Installation is an installation that is possible with Helm and with kustomize.
type Installation struct {
	Topology string
	// Components are names of directories in artifacts/components.
	Components []string
}

// Installations returns each topology alone and with the components that it supports.
func Installations() []Installation {
	var all []Installation
	for _, topology := range []string{"base", "batch-etcd", "dedicated-etcd", "shared-etcd"} {
		sets := [][]string{nil, {certManager}, {monitoring}, {certManager, monitoring}}
		if topology != "shared-etcd" {
			sets = append(sets, []string{audit}, []string{events}, []string{audit, certManager, events, monitoring})
		}
		for _, components := range sets {
			all = append(all, Installation{Topology: topology, Components: components})
		}
	}
	return append(all, Installation{Topology: standalone})
}

// Name describes the installation.
func (i Installation) Name() string {
	return strings.Join(append([]string{i.Topology}, i.Components...), " with ")
}

// Namespace is the namespace that the kustomization uses.
func (i Installation) Namespace() string {
	if i.Topology == standalone {
		return "batchgate-standalone"
	}
	return framework.Namespace
}

// Values returns the values of the chart for the installation.
func (i Installation) Values() map[string]any {
	values := map[string]any{
		"topology": i.Topology,
		"image":    map[string]any{"repository": framework.Name},
	}
	switch i.Topology {
	case "base":
		values["etcd"] = map[string]any{"servers": []string{"https://etcd.invalid:2379"}}
	case "batch-etcd":
		values["etcd"] = map[string]any{"servers": []string{"https://batch-etcd.invalid:2379"}}
	case standalone:
		values["resources"] = map[string]any{"requests": map[string]any{"cpu": "50m"}}
	}
	for _, component := range i.Components {
		maps.Copy(values, map[string]map[string]any{
			audit:       {"audit": map[string]any{"enabled": true}},
			certManager: {"certificates": map[string]any{"certManager": true}},
			events:      {"events": map[string]any{"enabled": true}},
			monitoring:  {"monitoring": map[string]any{"enabled": true}},
		}[component])
	}
	return values
}

// Kustomize renders the installation with kustomize, without the hashes in the names of
// ConfigMaps. It needs an empty directory, because kustomize accepts components only inside the
// directory tree of their kustomization.
func (i Installation) Kustomize(directory string) (string, error) {
	root, err := framework.Root()
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(filepath.Join(directory, "artifacts"), os.DirFS(filepath.Join(root, "artifacts"))); err != nil {
		return "", err
	}
	resource := "overlays/" + i.Topology
	if i.Topology == "base" {
		resource = i.Topology
	}
	kustomization := map[string][]string{"resources": {"../artifacts/" + resource}}
	registered := i.Topology == standalone
	for _, component := range i.Components {
		kustomization["components"] = append(kustomization["components"], "../artifacts/components/"+component)
		registered = registered || component == certManager
	}
	if !registered {
		kustomization["resources"] = append(kustomization["resources"], "../artifacts/apiservice/policy")
	}
	content, err := yaml.Marshal(kustomization)
	if err != nil {
		return "", err
	}
	deploy := filepath.Join(directory, "deploy")
	if err := os.Mkdir(deploy, 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(deploy, "kustomization.yaml"), content, 0o600); err != nil {
		return "", err
	}
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), deploy)
	if err != nil {
		return "", fmt.Errorf("rendering %s: %w", i.Name(), err)
	}
	text, err := rendered.AsYaml()
	return withoutHashes(string(text)), err
}
