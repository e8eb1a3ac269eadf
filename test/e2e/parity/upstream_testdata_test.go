// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/batchgate/batchgate/test/framework"
)

// upstreamFile is a file of upstream's test data: a Job or CronJob with all fields set.
type upstreamFile struct {
	name, resource, contentType string
	content                     []byte
}

var (
	// upstreamFiles are the files of all releases in k8s.io/api/testdata.
	upstreamFiles []upstreamFile
	// validUpstreamObjects are the objects of the current release without their invalid values.
	validUpstreamObjects []manifest
)

// upstreamRelease returns the directory with the test data of the control plane's release.
func upstreamRelease() string {
	if minor := os.Getenv(framework.KubernetesVariable); minor != "" {
		return "v" + minor + ".0"
	}
	return "HEAD"
}

// readUpstreamFiles reads the test data of k8s.io/api, except for later releases than the control plane's,
// which have fields that it does not know. It also reads a Job of upstream's documentation. Both are in the
// module cache.
func readUpstreamFiles() ([]upstreamFile, error) {
	api, err := moduleDir("k8s.io/api")
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(api, "testdata", "*", "batch.v1.*Job.*"))
	if err != nil {
		return nil, err
	}
	if release := upstreamRelease(); release != "HEAD" {
		files = slices.DeleteFunc(files, func(file string) bool {
			of := filepath.Base(filepath.Dir(file))
			return of == "HEAD" || version.MustParseGeneric(of).GreaterThan(version.MustParseGeneric(release))
		})
	}
	kubernetes, err := moduleDir("k8s.io/kubernetes")
	if err != nil {
		return nil, err
	}
	files = append(files, filepath.Join(kubernetes, "test", "fixtures", "doc-yaml", "user-guide", "job.yaml"))
	types := map[string]string{".json": jsonType, ".yaml": yamlType, ".pb": protobufType}
	var found []upstreamFile
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		f := upstreamFile{resource: "jobs", contentType: types[filepath.Ext(file)]}
		f.name = filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
		if strings.Contains(f.name, "CronJob") {
			f.resource = "cronjobs"
		}
		// The replacements keep the length, so that the protobuf stays valid.
		content = bytes.ReplaceAll(content, []byte("namespaceValue"), []byte(namespace))
		f.content = bytes.ReplaceAll(content, []byte("nameValue"), []byte("namevalue"))
		if f.contentType != protobufType && upstreamRelease() == "v1.35.0" {
			f.content = removedField.ReplaceAll(f.content, nil)
		}
		found = append(found, f)
	}
	if len(found) < 20 {
		return nil, fmt.Errorf("found only %d files of upstream's test data, which may have moved", len(found))
	}
	return found, nil
}

// removedField matches spec.template.spec.workloadRef in JSON and in YAML, an alpha field that only Kubernetes
// 1.35 has. Batchgate does not know it, and rejects or drops it as any unknown field (docs/concepts/limits.md).
var removedField = regexp.MustCompile(`,\s*"workloadRef": \{[^}]*\}|(?m)^ +workloadRef:\n( +(name|podGroup|podGroupReplicaKey): .*\n)+`)

func moduleDir(path string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		return "", fmt.Errorf("finding module %s: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// repairUpstreamObjects fills validUpstreamObjects. It sends dry runs to kube-apiserver and removes or
// replaces the values that the response reports, until the object is valid.
func repairUpstreamObjects(ctx context.Context) error {
	for _, f := range upstreamFiles {
		if !strings.HasPrefix(f.name, upstreamRelease()+"/") || f.contentType != jsonType || strings.Contains(f.name, "after_roundtrip") {
			continue
		}
		var object any
		content := strings.NewReplacer("restartPolicyValue", "Never", "scheduleValue", "@daily", "serviceAccountValue", "account").Replace(string(f.content))
		if f.resource == "jobs" { // the selector must match the template
			content = string(withField([]byte(content), fromJSON(`{"matchLabels":{"labelsKey":"labelsValue"}}`), "spec", "selector"))
		}
		if err := json.Unmarshal([]byte(content), &object); err != nil {
			return err
		}
		for {
			content, err := json.Marshal(object)
			if err != nil {
				return err
			}
			resp, err := send(ctx, request{method: http.MethodPost, path: "/namespaces/" + namespace + "/" + f.resource + "?dryRun=All", body: content})
			if err != nil {
				return err
			}
			if resp.code == http.StatusCreated {
				m, err := parseManifest(content)
				if err != nil {
					return err
				}
				validUpstreamObjects = append(validUpstreamObjects, m)
				break
			}
			if err := repairObject(object, resp.body); err != nil {
				return fmt.Errorf("repairing %s: %w", f.name, err)
			}
		}
	}
	return nil
}

// repairObject removes or replaces the fields that an error reports.
func repairObject(object any, body []byte) error {
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return err
	}
	if status.Details == nil || len(status.Details.Causes) == 0 {
		return fmt.Errorf("the response has no causes: %s", body)
	}
	// In reverse order, so that indexes stay valid.
	causes := status.Details.Causes
	slices.Reverse(causes)
	changed := false
	for _, cause := range causes {
		changed = replaceOrRemove(object, pathElements(cause.Field), suggestedValue(cause.Message)) || changed
	}
	// Before 1.37, spec.shareProcessNamespace is reported as a field of spec.securityContext.
	for _, cause := range causes {
		if path := pathElements(cause.Field); !changed && len(path) > 1 {
			changed = replaceOrRemove(object, slices.Concat(path[:len(path)-2], path[len(path)-1:]), nil)
		}
	}
	// Some paths lack an index or are spelled differently. Remove the parent of the field.
	for _, cause := range causes {
		for path := pathElements(cause.Field); !changed && !slices.Contains(neverRemoved, path[len(path)-2]); path = path[:len(path)-1] {
			changed = replaceOrRemove(object, path[:len(path)-1], nil)
		}
	}
	if !changed {
		return fmt.Errorf("no field to remove for %s", body)
	}
	return nil
}

// neverRemoved are fields that repairObject keeps.
var neverRemoved = []string{"metadata", "spec", "template", "containers"}

var pathElement = regexp.MustCompile(`[^.\[\]]+`)

func pathElements(field string) []string { return pathElement.FindAllString(field, -1) }

var supportedValues = regexp.MustCompile(`(?:supported|valid) values: "([^"]+)"`)

// suggestedValue returns the first supported value of an error message, or nil.
func suggestedValue(message string) any {
	if found := supportedValues.FindStringSubmatch(message); found != nil {
		return found[1]
	}
	return nil
}

// replaceOrRemove replaces the string at a path. It removes the field if value is nil or the field is
// not a string. It reports whether the field existed.
func replaceOrRemove(object any, path []string, value any) bool {
	inner, isObject := object.(map[string]any)
	next, there := inner[path[0]]
	if list, ok := object.([]any); ok {
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(list) {
			next = list[i]
		}
	}
	if list, ok := next.([]any); ok && len(path) == 2 {
		if i, err := strconv.Atoi(path[1]); err == nil && i < len(list) {
			inner[path[0]] = slices.Delete(list, i, i+1)
			return true
		}
	}
	if len(path) > 1 || !isObject {
		return next != nil && len(path) > 1 && replaceOrRemove(next, path[1:], value)
	}
	if _, text := next.(string); text && value != nil {
		inner[path[0]] = value
	} else {
		delete(inner, path[0])
	}
	return there
}
