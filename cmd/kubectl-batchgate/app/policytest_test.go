// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Each file of cases is tested with the policies from standard input and with its own.
func TestPolicyTest_StandardInput(t *testing.T) {
	const (
		head  = "apiVersion: policy.batchgate.io/v1alpha1\n"
		piped = head + "kind: JobUpdatePolicy\nmetadata: {name: piped}\nspec: {fields: [spec.suspend]}\n"
		own   = head + "kind: JobUpdatePolicy\nmetadata: {name: own}\nspec: {fields: [spec.backoffLimit]}\n"
		cases = head + "kind: JobUpdatePolicyTest\npolicies: [policy.yaml]\ncases:\n" +
			"- {name: a, old: job.yaml, patch: {spec: {suspend: true, backoffLimit: 1}}, expect: {decision: Allow}}\n"
	)
	directory := t.TempDir()
	job, err := os.ReadFile("testdata/job.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"policy.yaml": own, "1.yaml": cases, "2.yaml": cases, "job.yaml": string(job)} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var output bytes.Buffer
	s := newSettings(genericiooptions.IOStreams{In: strings.NewReader(piped), Out: &output, ErrOut: &output})
	code := run(t.Context(), s, []string{"policy", "test", "--filename=-", "--cases=" + filepath.Join(directory, "1.yaml"), "--cases=" + filepath.Join(directory, "2.yaml")})
	if code != 0 || strings.Count(output.String(), "granted by own, piped") != 2 {
		t.Errorf("exit code %d:\n%s", code, &output)
	}
}
