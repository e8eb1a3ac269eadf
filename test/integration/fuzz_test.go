package integration

import (
	"math/rand"
	"net/http"
	"strings"
	"testing"
)

// What follows attacks a server with requests that change a Job, or try to. docs/fuzzing.md
// says what must hold, and how to go on for longer.

// fuzzKind mutates the bodies of one kind of update. They begin as good ones: all that the
// tables of this package allow and refuse, and what is hostile by hand.
func fuzzKind(f *testing.F, update updateType) {
	v := newVictim(f)
	for i, patch := range seedPatches() {
		// Whoever is granted a field, or finds a Job finished, shows nothing of the gate. So each
		// change is sent to the plain Job, and the one with everything, by a user without grants too.
		for _, pair := range []struct{ job, user int }{{0, 0}, {everythingIndex, 0}, {i % len(v.jobs), i % len(v.users)}} {
			if body, ok := v.seed(f, update, pair.job, patch); ok {
				f.Add(byte(pair.job), byte(pair.user), "", body)
			}
		}
	}
	for _, body := range hostileBodies[update.name] {
		f.Add(byte(0), byte(0), "", []byte(body))
	}
	for _, query := range queries {
		body, _ := v.seed(f, update, 0, allowedChanges[allUpdatableFieldsChanged].patch)
		f.Add(byte(0), byte(1), query, body)
	}
	f.Fuzz(func(t *testing.T, job, user byte, query string, body []byte) {
		if update.name == "apply" && !strings.Contains(query, "fieldManager") {
			query += "&force=true&fieldManager=" + applier
		}
		v.sendAndCheck(t, attack{
			job: int(job), user: int(user), query: query,
			request: request{method: update.method, contentType: update.contentType, body: body},
		}, inProcess)
	})
}

func FuzzJSONPatch(f *testing.F)           { fuzzKind(f, updateTypes[0]) }
func FuzzMergePatch(f *testing.F)          { fuzzKind(f, updateTypes[1]) }
func FuzzStrategicMergePatch(f *testing.F) { fuzzKind(f, updateTypes[2]) }
func FuzzApply(f *testing.F)               { fuzzKind(f, updateTypes[3]) }
func FuzzPut(f *testing.F)                 { fuzzKind(f, updateTypes[4]) }

// FuzzStatus is fuzzKind for jobs/status, by all kinds.
func FuzzStatus(f *testing.F) {
	v := newVictim(f)
	for i, update := range updateTypes {
		for _, row := range statusChanges {
			for job := range v.jobs[:2] {
				if body, ok := v.seed(f, update, job, row.patch); ok {
					for user := range v.users {
						f.Add(byte(i), byte(job), byte(user), "", body)
					}
				}
			}
		}
		for _, body := range hostileBodies[update.name] {
			f.Add(byte(i), byte(0), byte(0), "", []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, number, job, user byte, query string, body []byte) {
		update := updateTypes[int(number)%len(updateTypes)]
		if update.name == "apply" {
			query += "&force=true&fieldManager=" + applier
		}
		v.sendAndCheck(t, attack{
			job: int(job), user: int(user), subresource: "status", query: query,
			request: request{method: update.method, contentType: update.contentType, body: body},
		}, inProcess)
	})
}

// FuzzGeneratedUpdate turns bytes into updates that say something: changes of fields that a Job has,
// or could have, to values that are good, wrong or hostile, by any kind of update.
func FuzzGeneratedUpdate(f *testing.F) {
	v := newVictim(f)
	random := rand.New(rand.NewSource(1))
	for range 200 {
		f.Add(randomBytes(random, 48))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v.sendAndCheck(t, v.generateAttack(t, dice(data)), inProcess)
	})
}

func randomBytes(random *rand.Rand, n int) []byte {
	data := make([]byte, n)
	random.Read(data)
	return data
}

// TestFuzzGeneratedUpdates is FuzzGeneratedUpdate with fixed bytes, a part of it by HTTPS. It also
// checks that the updates are worth it: all that they can come to must be common.
func TestFuzzGeneratedUpdates(t *testing.T) {
	const updates = 1500
	v := newVictim(t)
	random := rand.New(rand.NewSource(2))
	codes := map[int]int{}
	for i := range updates {
		data := randomBytes(random, 48)
		send := inProcess
		if i%5 == 0 {
			send = overHTTPS
		}
		if resp := v.sendAndCheck(t, v.generateAttack(t, dice(data)), send); resp != nil {
			codes[resp.code]++
		}
		if t.Failed() {
			t.Fatalf("update %d was made of %x", i, data)
		}
	}
	t.Logf("answers by code: %v", codes)
	for _, code := range []int{http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity} {
		if codes[code] < updates/30 {
			t.Errorf("%d of %d updates are answered with %d: too few", codes[code], updates, code)
		}
	}
}
