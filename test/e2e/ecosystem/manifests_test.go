// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

type object = map[string]any

// parseManifests returns the objects of a rendered kustomization, without Deployments and APIServices.
func parseManifests(rendered string) ([]object, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(rendered), 4096)
	var objects []object
	for {
		var o object
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if o["kind"] != "Deployment" && o["kind"] != "APIService" {
			objects = append(objects, o)
		}
	}
}

// redirectWebhooks changes the objects so that webhook calls reach a local port, and sets the CA unless the
// program manages its certificate. It returns the program's configuration, which one of the objects contains.
func (p *program) redirectWebhooks(objects []object, port int, ca []byte) (object, error) {
	var configuration object
	for _, o := range objects {
		for _, client := range clientConfigs(o) {
			client["service"].(object)["port"] = port
			if !p.managesCerts {
				client["caBundle"] = ca
			}
		}
		switch name := o["metadata"].(object)["name"]; {
		case o["kind"] == "Service" && name == p.name+"-webhook-service":
			o["spec"] = object{"type": "ExternalName", "externalName": "localhost"}
		case o["kind"] == "ConfigMap" && name == p.name+"-manager-config":
			content := o["data"].(object)["controller_manager_config.yaml"].(string)
			if err := sigsyaml.Unmarshal([]byte(content), &configuration); err != nil {
				return nil, fmt.Errorf("parsing the configuration of %s: %w", p.name, err)
			}
		}
	}
	if configuration == nil {
		return nil, fmt.Errorf("found no configuration in the manifests of %s", p.name)
	}
	return configuration, nil
}

// clientConfigs returns the client configurations of admission and conversion webhooks.
func clientConfigs(value any) []object {
	var found []object
	switch value := value.(type) {
	case object:
		for key, child := range value {
			if client, ok := child.(object); ok && key == "clientConfig" && client["service"] != nil {
				found = append(found, client)
			} else {
				found = append(found, clientConfigs(child)...)
			}
		}
	case []any:
		for _, child := range value {
			found = append(found, clientConfigs(child)...)
		}
	}
	return found
}

// applyObjects applies the objects and waits until the CRDs are established.
func applyObjects(t *testing.T, objects []object) {
	t.Helper()
	var stream bytes.Buffer
	encoder := json.NewEncoder(&stream)
	for _, o := range objects {
		if err := encoder.Encode(o); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := cluster.Kubectl().WithStdin(stream.String()).Run(t.Context(), "apply", "--server-side", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cluster.Kubectl().Run(t.Context(), "wait", "crd", "--all", "--for=condition=Established", "--timeout=110s"); err != nil {
		t.Fatal(err)
	}
}

// merge merges b into a.
func merge(a, b object) {
	for key, value := range b {
		inner, ok := value.(object)
		if present, also := a[key].(object); ok && also {
			merge(present, inner)
		} else {
			a[key] = value
		}
	}
}
