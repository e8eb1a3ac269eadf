// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"math/rand"
	"net/http"
	"strings"
	"testing"
)

// The fuzz targets attack a server with requests that try to change a Job.
// docs/development/fuzzing.md lists the invariants and says how to run the targets for longer.

// fuzzUpdateType fuzzes the bodies and queries of one update type. The seeds are the allowed and
// denied changes of the tables in this package, and hostileBodies.
func fuzzUpdateType(f *testing.F, update updateType) {
	v := newVictim(f)
	for i, patch := range seedPatches() {
		// A seed does not test the gate if the user has a grant or the Job is finished. So a user
		// without grants also sends each change to the plain Job and to the everything Job.
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

func FuzzJSONPatch(f *testing.F)           { fuzzUpdateType(f, updateTypes[0]) }
func FuzzMergePatch(f *testing.F)          { fuzzUpdateType(f, updateTypes[1]) }
func FuzzStrategicMergePatch(f *testing.F) { fuzzUpdateType(f, updateTypes[2]) }
func FuzzApply(f *testing.F)               { fuzzUpdateType(f, updateTypes[3]) }
func FuzzPut(f *testing.F)                 { fuzzUpdateType(f, updateTypes[4]) }

// FuzzStatus fuzzes updates of jobs/status, with all update types.
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

// FuzzGeneratedUpdate generates well-formed updates from random bytes. They set fields of a Job to
// valid, invalid or hostile values, with any update type.
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

// This is FuzzGeneratedUpdate with fixed bytes, and one in five updates is sent over HTTPS. The
// test also checks that each kind of response is common, so that the updates are not trivial.
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
			t.Fatalf("update %d was generated from %x", i, data)
		}
	}
	t.Logf("responses by status: %v", codes)
	for _, code := range []int{http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity} {
		if codes[code] < updates/30 {
			t.Errorf("only %d of %d updates got status %d", codes[code], updates, code)
		}
	}
}
