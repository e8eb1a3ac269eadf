// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// manifest is an object that tests create.
type manifest struct {
	name, resource string
	// content is the request body by media type. It has no protobuf if the object cannot be decoded.
	content map[string][]byte
}

// Valid values for the placeholders $template and $spec in testdata/invalid.yaml.
const (
	templateYAML = `{spec: {restartPolicy: Never, containers: [{name: main, image: "example.com/work:1"}]}}`
	specYAML     = `{template: ` + templateYAML + `}`
)

func readManifests(file string) ([]manifest, error) {
	content, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		return nil, err
	}
	text := strings.NewReplacer("$spec", specYAML, "$template", templateYAML).Replace(string(content))
	var found []manifest
	for i, part := range strings.Split(text, "\n---\n") {
		m, err := parseManifest([]byte(part))
		if err != nil {
			return nil, fmt.Errorf("reading object %d of %s: %w", i, file, err)
		}
		found = append(found, m)
	}
	return found, nil
}

// parseManifest parses one object in JSON or YAML.
func parseManifest(content []byte) (manifest, error) {
	inJSON, err := yaml.YAMLToJSON(content)
	if err != nil {
		return manifest{}, err
	}
	var object struct {
		Kind     string
		Metadata struct{ Name string }
	}
	if err := yaml.Unmarshal(content, &object); err != nil {
		return manifest{}, err
	}
	m := manifest{name: object.Metadata.Name, resource: "jobs", content: map[string][]byte{jsonType: inJSON, yamlType: content}}
	if object.Kind == "CronJob" {
		m.resource = "cronjobs"
	}
	if typed, _, err := scheme.Codecs.UniversalDeserializer().Decode(inJSON, nil, nil); err == nil {
		if m.content[protobufType], err = encodeProtobuf(typed); err != nil {
			return m, err
		}
	}
	return m, nil
}

func encodeProtobuf(object runtime.Object) ([]byte, error) {
	var out bytes.Buffer
	err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(object, &out)
	return out.Bytes(), err
}

// fieldText returns the field of a JSON object at a path as text. It is empty if there is no such field.
func fieldText(content []byte, path ...string) string {
	var value any
	if err := yaml.Unmarshal(content, &value); err != nil {
		return ""
	}
	for _, name := range path {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

// withField returns a JSON object with a field set. If value is nil, the field is removed.
func withField(content []byte, value any, path ...string) []byte {
	object := map[string]any{}
	if err := yaml.Unmarshal(content, &object); err != nil {
		return content
	}
	inner := object
	for _, name := range path[:len(path)-1] {
		next, ok := inner[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			inner[name] = next
		}
		inner = next
	}
	if inner[path[len(path)-1]] = value; value == nil {
		delete(inner, path[len(path)-1])
	}
	out, err := yaml.Marshal(object)
	if err == nil {
		out, err = yaml.YAMLToJSON(out)
	}
	if err != nil {
		return content
	}
	return out
}
