// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"
)

// The fuzz seeds must reach the gate: it must deny every denied change of the tables to a user
// without grants. A seed that just has no effect would not test the gate.
func TestFuzzSeedsDenied(t *testing.T) {
	v := newVictim(t)
	checkDenied := func(name string, update updateType, subresource, patch string) {
		t.Run(name+" by "+update.name, func(t *testing.T) {
			body, ok := v.seed(t, update, 0, patch)
			if !ok {
				t.Fatal("patch does not apply to the plain Job")
			}
			a := attack{subresource: subresource, request: request{method: update.method, contentType: update.contentType, body: body}}
			if update.name == "apply" {
				a.query = "force=true&fieldManager=" + applier
			}
			if resp := v.sendAndCheck(t, a, inProcess); resp == nil || resp.code != http.StatusUnprocessableEntity {
				t.Errorf("body %s got response %+v, want status %d", body, resp, http.StatusUnprocessableEntity)
			}
		})
	}
	for _, update := range updateTypes {
		for name, row := range deniedChanges {
			checkDenied(name, update, "", row.patch)
		}
		for name, row := range statusChanges {
			if row.want == nil && !(row.removal && update.name == "apply") {
				checkDenied("status "+name, update, "status", row.patch)
			}
		}
	}
}
