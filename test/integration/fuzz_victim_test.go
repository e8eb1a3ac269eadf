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

// victim is a server under attack, and the Jobs in it, which every attack finds as they were
// made.
type victim struct {
	server *server
	prefix string // of its keys in etcd
	jobs   []*target
	users  []*attacker

	// etcd holds that many keys between attacks, all written at this revision or before.
	keys, revision int64
}

// attacker is a user, with the certificate for requests that do not come by a connection.
type attacker struct {
	*user
	certificate *x509.Certificate
	name        string
	// grants are the fields that policies let this user change beyond those of everybody.
	grants []string
}

// attack is a request that changes a Job, or tries to.
type attack struct {
	job, user   int    // whose number is one of the victim's, or is brought down to one
	subresource string // "status", or nothing
	request     request
	query       string // as it is sent
}

// latestPlaceholder stands for the stored resource version, in a query or a body that is kept.
const latestPlaceholder = "@RV@"

// sender sends a request as a user. The answer is nil where it is none that can be sent.
type sender func(*testing.T, *attacker, request) *response

// sendAndCheck fails the test unless the attack is answered, and changes what it may only. It
// returns the answer, nil where there was nothing to send, and leaves everything as it was.
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
	values, _ := url.ParseQuery(query) // the server heeds what it can read
	if _, ok := values["timeout"]; ok {
		return nil // the server would go on with the request after its answer
	}
	answered := send(t, user, r)
	if answered == nil {
		return nil
	}
	written, keys := v.written(t)
	answered.checkDocumented(t)
	o := outcome{
		target: target, user: user, response: answered, written: written, deleted: v.keys - keys,
		status: a.subresource == "status", dryRun: slices.Contains(values["dryRun"], "All"),
	}
	o.check(t)
	if len(written) > 0 || keys != v.keys {
		v.restore(t, target)
	}
	if t.Failed() {
		t.Logf("%s %s as %s: %s\n%q\nis answered with %d: %s", r.method, r.path, user.name, r.contentType, r.body, answered.code, answered.body)
	}
	return answered
}

// inProcess hands the request to the server's handler, with all its filters.
func inProcess(t *testing.T, user *attacker, r request) *response {
	t.Helper()
	req, err := r.build(t.Context(), "https://victim", bytes.NewReader(r.body))
	if err != nil || strings.ContainsFunc(r.path, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return nil // no client can send this line
	}
	req.RequestURI = req.URL.RequestURI()
	req.RemoteAddr = "127.0.0.1:1"
	req.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{user.certificate}}
	recorder := httptest.NewRecorder()
	user.server.handler.ServeHTTP(recorder, req)
	return &response{code: recorder.Code, header: recorder.Result().Header, body: recorder.Body.Bytes()}
}

// overHTTPS sends the request by a connection.
func overHTTPS(t *testing.T, user *attacker, r request) *response {
	t.Helper()
	if _, err := r.build(t.Context(), "https://victim", http.NoBody); err != nil {
		return nil
	}
	return user.do(t, r)
}

// written returns what was written in the registry since the last attack, and how many keys
// there are.
func (v *victim) written(t testing.TB) ([]*mvccpb.KeyValue, int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	resp, err := v.server.etcd.Get(ctx, v.prefix, clientv3.WithPrefix(), clientv3.WithMinModRev(v.revision+1))
	if err != nil {
		t.Fatalf("looking for what was written: %v", err)
	}
	return resp.Kvs, resp.Count
}

// restore writes the Job's bytes back to etcd, past the server.
func (v *victim) restore(t testing.TB, target *target) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	resp, err := v.server.etcd.Put(ctx, target.key, string(target.value), clientv3.WithPrevKV())
	if err != nil {
		t.Fatalf("restoring the Job %s: %v", target.job.Name, err)
	}
	v.revision = resp.Header.Revision
	target.revision, target.version = v.revision, 1
	if resp.PrevKv != nil {
		target.version = resp.PrevKv.Version + 1
	}
}
