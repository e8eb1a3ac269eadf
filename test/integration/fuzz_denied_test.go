package integration

import (
	"net/http"
	"testing"
)

// What fuzzing begins with must meet the gate: whatever the tables refuse is refused to a user
// without grants, on the plain Job, and not only without an effect there.
func TestFuzzSeedsDenied(t *testing.T) {
	v := newVictim(t)
	meets := func(name string, update updateType, subresource, patch string) {
		t.Run(name+" by "+update.name, func(t *testing.T) {
			body, ok := v.seed(t, update, 0, patch)
			if !ok {
				t.Fatal("the change cannot be made of the plain Job")
			}
			a := attack{subresource: subresource, request: request{method: update.method, contentType: update.contentType, body: body}}
			if update.name == "apply" {
				a.query = "force=true&fieldManager=" + applier
			}
			if answered := v.sendAndCheck(t, a, inProcess); answered == nil || answered.code != http.StatusUnprocessableEntity {
				t.Errorf("the answer to %s is %+v, want %d", body, answered, http.StatusUnprocessableEntity)
			}
		})
	}
	for _, update := range updateTypes {
		for name, row := range deniedChanges {
			meets(name, update, "", row.patch)
		}
		for name, row := range statusChanges {
			if row.want == nil && !(row.removal && update.name == "apply") {
				meets(name+" through the status", update, "status", row.patch)
			}
		}
	}
}
