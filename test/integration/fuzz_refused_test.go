package integration

import (
	"net/http"
	"testing"
)

// What fuzzing begins with must meet the gate: whatever the tables refuse is refused to a user
// without grants, on the plain Job, and not only without an effect there.
func TestSeedsThatAreRefusedMeetTheGate(t *testing.T) {
	v := newVictim(t)
	meets := func(name string, k kind, subresource, patch string) {
		t.Run(name+" by "+k.name, func(t *testing.T) {
			body, ok := v.seed(t, k, 0, patch)
			if !ok {
				t.Fatal("the change cannot be made of the plain Job")
			}
			a := attack{subresource: subresource, request: request{method: k.method, contentType: k.contentType, body: body}}
			if k.name == "apply" {
				a.query = "force=true&fieldManager=" + applier
			}
			if answered := v.withstand(t, a, inProcess); answered == nil || answered.code != http.StatusUnprocessableEntity {
				t.Errorf("the answer to %s is %+v, want %d", body, answered, http.StatusUnprocessableEntity)
			}
		})
	}
	for _, k := range kinds {
		for name, row := range refused {
			meets(name, k, "", row.patch)
		}
		for name, row := range throughStatus {
			if row.want == nil && !(row.removal && k.name == "apply") {
				meets(name+" through the status", k, "status", row.patch)
			}
		}
	}
}
