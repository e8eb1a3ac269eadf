// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// victim is a server under attack. Its Jobs are restored after every attack.
type victim struct {
	server *server
	prefix string // of the server's keys in etcd
	jobs   []*target
	users  []*attacker

	keys     int64 // number of keys in etcd between attacks
	revision int64 // latest revision of those keys
}

// attacker is a user with its certificate, which in-process requests need.
type attacker struct {
	*user
	certificate *x509.Certificate
	name        string
	// grants are the fields that policies allow only this user to update.
	grants []string
}

// attack is a request that tries to change a Job.
type attack struct {
	job, user   int    // index into victim.jobs and victim.users, modulo their length
	subresource string // "status" or empty
	request     request
	query       string // raw
}

// latestPlaceholder stands for the stored resource version in the queries and bodies of seeds.
const latestPlaceholder = "@RV@"

// sender sends a request as a user. It returns nil if the request cannot be sent.
type sender func(*testing.T, *attacker, request) *response

// sendAndCheck sends the attack and restores the Job. It fails the test if the response is not
// documented or a field changed that is not updatable. It returns the response, or nil if the
// request cannot be sent.
func (v *victim) sendAndCheck(t *testing.T, a attack, send sender) *response {
	t.Helper()
	target, user := v.jobs[a.job%len(v.jobs)], v.users[a.user%len(v.users)]
	version := strconv.FormatInt(target.revision, 10)
	r := a.request
	r.path = jobPath(target.job.Namespace, target.job.Name)
	if a.subresource != "" {
		r.path += "/" + a.subresource
	}
	query := strings.ReplaceAll(a.query, latestPlaceholder, version)
	if query != "" {
		r.path += "?" + query
	}
	r.body = bytes.ReplaceAll(r.body, []byte(latestPlaceholder), []byte(version))
	values, _ := url.ParseQuery(query) // the server uses the valid part too
	if _, ok := values["timeout"]; ok {
		return nil // the server may still handle the request after its response
	}
	resp := send(t, user, r)
	if resp == nil {
		return nil
	}
	written, keys := v.written(t)
	resp.checkDocumented(t)
	o := outcome{
		target: target, user: user, response: resp, written: written, deleted: v.keys - keys,
		status: a.subresource == "status", dryRun: slices.Contains(values["dryRun"], "All"),
	}
	o.check(t)
	if len(written) > 0 || keys != v.keys {
		v.restore(t, target)
	}
	if t.Failed() {
		t.Logf("%s %s as %s: %s\n%q\ngot status %d: %s", r.method, r.path, user.name, r.contentType, r.body, resp.code, resp.body)
	}
	return resp
}

// inProcess calls the server's handler, with all its filters.
func inProcess(t *testing.T, user *attacker, r request) *response {
	t.Helper()
	req, err := r.build(t.Context(), "https://victim", bytes.NewReader(r.body))
	if err != nil || strings.ContainsFunc(r.path, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return nil // no client can send this request line
	}
	req.RequestURI = req.URL.RequestURI()
	req.RemoteAddr = "127.0.0.1:1"
	req.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{user.certificate}}
	recorder := httptest.NewRecorder()
	user.server.handler.ServeHTTP(recorder, req)
	return &response{code: recorder.Code, header: recorder.Result().Header, body: recorder.Body.Bytes()}
}

// overHTTPS sends the request over a connection.
func overHTTPS(t *testing.T, user *attacker, r request) *response {
	t.Helper()
	if _, err := r.build(t.Context(), "https://victim", http.NoBody); err != nil {
		return nil
	}
	return user.do(t, r)
}

// written returns the keys written since the last attack, and the number of all keys.
func (v *victim) written(t testing.TB) ([]*mvccpb.KeyValue, int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	resp, err := v.server.etcd.Get(ctx, v.prefix, clientv3.WithPrefix(), clientv3.WithMinModRev(v.revision+1))
	if err != nil {
		t.Fatalf("reading written keys from etcd: %v", err)
	}
	return resp.Kvs, resp.Count
}

// restore writes the original bytes of the Job to etcd, bypassing the server.
func (v *victim) restore(t testing.TB, target *target) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	resp, err := v.server.etcd.Put(ctx, target.key, string(target.value), clientv3.WithPrevKV())
	if err != nil {
		t.Fatalf("restoring Job %s: %v", target.job.Name, err)
	}
	v.revision = resp.Header.Revision
	target.revision, target.version = v.revision, 1
	if resp.PrevKv != nil {
		target.version = resp.PrevKv.Version + 1
	}
}
