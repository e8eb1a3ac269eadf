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
)

// upstreamFile is one of upstream's testdata: a Job or CronJob in which each field has a value.
type upstreamFile struct {
	name, resource, contentType string
	content                     []byte
}

// upstreamCorpus are those of all releases that k8s.io/api has testdata of, and upstreamValid
// what kube-apiserver takes of those of this release.
var (
	upstreamCorpus []upstreamFile
	upstreamValid  []manifest
)

// readUpstream reads testdata, and Jobs that upstream's documentation has, from the module cache.
func readUpstream() ([]upstreamFile, error) {
	api, err := module("k8s.io/api")
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(api, "testdata", "*", "batch.v1.*Job.*"))
	if err != nil {
		return nil, err
	}
	kubernetes, err := module("k8s.io/kubernetes")
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
		// Of the same length, so that protobuf stays what it is.
		content = bytes.ReplaceAll(content, []byte("namespaceValue"), []byte(namespace))
		f.content = bytes.ReplaceAll(content, []byte("nameValue"), []byte("namevalue"))
		found = append(found, f)
	}
	if len(found) < 20 {
		return nil, fmt.Errorf("upstream's testdata are not where they were: %d files", len(found))
	}
	return found, nil
}

func module(path string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module %s: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// repair fills upstreamValid: it asks kube-apiserver what is invalid, and removes that or puts a
// value for it that is not, until the object is taken.
func repair(ctx context.Context) error {
	for _, f := range upstreamCorpus {
		if !strings.HasPrefix(f.name, "HEAD/") || f.contentType != jsonType {
			continue
		}
		var object any
		content := strings.NewReplacer("restartPolicyValue", "Never", "scheduleValue", "@daily", "serviceAccountValue", "account").Replace(string(f.content))
		if f.resource == "jobs" { // what is selected must be there
			content = string(changed([]byte(content), fromJSON(`{"matchLabels":{"labelsKey":"labelsValue"}}`), "spec", "selector"))
		}
		if err := json.Unmarshal([]byte(content), &object); err != nil {
			return err
		}
		for {
			content, err := json.Marshal(object)
			if err != nil {
				return err
			}
			a, err := send(ctx, request{method: http.MethodPost, path: "/namespaces/" + namespace + "/" + f.resource + "?dryRun=All", body: content})
			if err != nil {
				return err
			}
			if a.code == http.StatusCreated {
				m, err := newManifest(content)
				if err != nil {
					return err
				}
				upstreamValid = append(upstreamValid, m)
				break
			}
			if err := improve(object, a.body); err != nil {
				return fmt.Errorf("repairing %s: %w", f.name, err)
			}
		}
	}
	return nil
}

// improve changes what the causes of an error name.
func improve(object any, body []byte) error {
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return err
	}
	if status.Details == nil || len(status.Details.Causes) == 0 {
		return fmt.Errorf("kube-apiserver says %s", body)
	}
	// The last first, so that indexes stay true.
	causes := status.Details.Causes
	slices.Reverse(causes)
	improved := false
	for _, cause := range causes {
		improved = replace(object, steps(cause.Field), valid(cause.Message)) || improved
	}
	// Some paths lack an index, or are spelled in another way: what is around is removed.
	for _, cause := range causes {
		for path := steps(cause.Field); !improved && !slices.Contains(whole, path[len(path)-2]); path = path[:len(path)-1] {
			improved = replace(object, path[:len(path)-1], nil)
		}
	}
	if !improved {
		return fmt.Errorf("nothing can be removed for %s", body)
	}
	return nil
}

// whole are what is not removed as a whole.
var whole = []string{"metadata", "spec", "template", "containers"}

var step = regexp.MustCompile(`[^.\[\]]+`)

func steps(field string) []string { return step.FindAllString(field, -1) }

var supported = regexp.MustCompile(`(?:supported|valid) values: "([^"]+)"`)

// valid returns a value that a message asks for, or nil.
func valid(message string) any {
	if found := supported.FindStringSubmatch(message); found != nil {
		return found[1]
	}
	return nil
}

// replace sets the text at the end of a path, or removes what is there where the value is nil
// or it is no text. It reports whether there was something.
func replace(object any, path []string, value any) bool {
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
		return next != nil && len(path) > 1 && replace(next, path[1:], value)
	}
	if _, text := next.(string); text && value != nil {
		inner[path[0]] = value
	} else {
		delete(inner, path[0])
	}
	return there
}
