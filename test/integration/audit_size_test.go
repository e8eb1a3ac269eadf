// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/apiserver/options"
)

// The error repeats an invalid value of several megabytes. The response and the audit event must
// not contain all of it.
func TestLongErrorAuditedBriefly(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	policy, log := filepath.Join(directory, "policy.yaml"), filepath.Join(directory, "audit.log")
	if err := os.WriteFile(policy, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, setup{options: func(o *options.Options) { o.Audit.PolicyFile, o.Audit.LogOptions.Path = policy, log }})
	body := `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"pi","creationTimestamp":"` + strings.Repeat("<", 2_900_000) + `"}}`
	resp := s.admin.do(t, request{method: http.MethodPost, path: jobsPath("default"), contentType: "application/json", body: []byte(body)}).expect(t, http.StatusBadRequest)
	if size := len(resp.body); size > maxHostileResponse {
		t.Errorf("response has %d bytes, want at most %d", size, maxHostileResponse)
	}
	var event []byte
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, waitTimeout, true, func(context.Context) (bool, error) {
		events, err := os.ReadFile(log)
		for line := range bytes.Lines(events) {
			if bytes.Contains(line, []byte(`"code":400`)) && bytes.HasSuffix(line, []byte("\n")) {
				event = line
			}
		}
		return event != nil, err
	}); err != nil {
		t.Fatalf("no audit event: %v", err)
	}
	if len(event) > maxHostileResponse || !bytes.Contains(event, []byte("parsing time")) {
		t.Errorf("audit event has %d bytes, want at most %d, with the error: %.300s", len(event), maxHostileResponse, event)
	}
}
