package parity

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// exchange is a question, and what was seen after it.
type exchange struct {
	area, scenario, question string
	request                  request
	answer                   *answer // nil where etcd was asked
	seen                     string  // the answer, normalized
	// link is where the Job is that was asked for, normalized, and empty where none was.
	link string
	// unchanged is what etcd holds if that was seen before, byte for byte and at that revision.
	unchanged bool
}

func (e exchange) String() string { return e.area + ": " + e.scenario + ": " + e.question }

// run is all that was asked and seen at one time.
type run struct {
	name      string
	exchanges []exchange

	normalizer
	ctx            context.Context
	area, scenario string
	// held is what etcd held of the objects of the scenario when that was recorded last.
	held map[string]*mvccpb.KeyValue
	// err is the first error; nothing is asked after it.
	err error
}

// newRun asks everything.
func newRun(ctx context.Context, name string) (*run, error) {
	r := &run{name: name, ctx: ctx}
	r.normalizer = normalizer{began: began, firstRevision: firstRevision, revision: r.revision}
	start := time.Now()
	if err := clear(ctx); err != nil {
		return nil, fmt.Errorf("%s: removing what another run has left: %w", name, err)
	}
	for _, area := range areas {
		r.area = area.name
		area.ask(r)
	}
	if r.err != nil {
		return nil, fmt.Errorf("%s: %s: %w", name, r.scenario, r.err)
	}
	fmt.Printf("%s: %d questions in %s\n", name, len(r.exchanges), time.Since(start).Round(time.Second))
	return r, nil
}

// begin begins a scenario, whose objects are no other one's.
func (r *run) begin(format string, args ...any) {
	if r.err == nil {
		r.scenario = fmt.Sprintf(format, args...)
	}
	r.reset()
	r.held = map[string]*mvccpb.KeyValue{}
}

// revision returns the one that etcd has come to.
func (r *run) revision() int64 {
	if r.err != nil {
		return 0
	}
	revision, err := currentRevision(r.ctx)
	r.err = err
	return revision
}

// do sends a request and records the answer.
func (r *run) do(req request) *answer {
	if r.err != nil {
		return &answer{}
	}
	req.method = or(req.method, http.MethodGet)
	a, err := send(r.ctx, req)
	if err != nil {
		r.err = err
		return &answer{}
	}
	if field(req.body, "metadata", "generateName") != "" {
		r.generated(or(field(a.body, "metadata", "name"), field(a.body, "details", "name")))
	}
	r.exchanges = append(r.exchanges, exchange{area: r.area, scenario: r.scenario, question: r.question(req), request: req, answer: a, seen: r.normalize(a), link: r.text(link(req, a))})
	return a
}

// get reads a path.
func (r *run) get(path string) *answer { return r.do(request{path: path}) }

// stored records what etcd holds of an object of the namespace, and that the server has called
// its revision what etcd does.
func (r *run) stored(resource, name string, last *answer) {
	r.storedAs(nil, resource, name, last)
}

// storedAs does so after an update that must have been answered differently.
func (r *run) storedAs(differs *difference, resource, name string, last *answer) {
	if r.err != nil {
		return
	}
	object, err := stored(r.ctx, resource, namespace, name)
	if err != nil {
		r.err = err
		return
	}
	seen := "nothing\n"
	if object != nil {
		same := field(last.body, "metadata", "resourceVersion") == fmt.Sprint(object.ModRevision)
		seen = fmt.Sprintf("written last by this answer: %t\n%s", same, r.dump(dump(object.Value)))
	}
	before := r.held[resource+"/"+name]
	r.held[resource+"/"+name] = object
	r.exchanges = append(r.exchanges, exchange{
		area: r.area, scenario: r.scenario, question: "stored " + resource, request: request{differs: differs}, seen: seen,
		unchanged: object != nil && before != nil && object.ModRevision == before.ModRevision && bytes.Equal(object.Value, before.Value),
	})
}

// forget removes an object past the servers, where they have come to differ.
func (r *run) forget(resource, name string) {
	if r.err == nil {
		_, r.err = etcd.Delete(r.ctx, "/registry/"+resource+"/"+namespace+"/"+name)
	}
}

// question says what was asked, with placeholders.
func (r *run) question(req request) string {
	q := req.method + " " + r.text(req.path)
	for _, header := range [][2]string{{"Content-Type", req.contentType}, {"Accept", req.accept}, {"user", req.as}} {
		if header[1] != "" {
			q += ", " + header[0] + " " + header[1]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(req.header)) {
		q += ", with " + name
	}
	if len(req.body) > 0 && len(req.body) < 200 && req.contentType != protobufType {
		q += ": " + r.text(string(req.body))
	}
	return q
}

// normalize writes an answer as text, which is the same for the same answer in another run.
func (r *run) normalize(a *answer) string {
	contentType := a.header.Get("Content-Type")
	body := string(a.body)
	switch {
	case strings.HasPrefix(contentType, protobufType+";stream=watch"):
		body = r.dump(dumpFrames(a.body))
	case strings.HasPrefix(contentType, protobufType):
		body = r.dump(dump(a.body))
	case strings.Contains(body, `"kind":"Table"`), strings.Contains(body, "kind: Table"):
		body = r.table(body)
	default:
		body = r.text(body)
	}
	return fmt.Sprintf("%d\n%s\n%s", a.code, r.text(headers(a.header)), body)
}
