// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// exchange is a request and its response, or a read from etcd.
type exchange struct {
	area, scenario, description string
	request                     request
	response                    *response // nil for reads from etcd
	text                        string    // the normalized response or object
	// selfLink is the normalized path of the requested Job. It is empty for requests about no
	// single Job.
	selfLink string
	// unchanged is set if etcd holds the same bytes at the same revision as at the previous read.
	unchanged bool
}

func (e exchange) String() string { return e.area + ": " + e.scenario + ": " + e.description }

// recording is all exchanges of one phase.
type recording struct {
	name      string
	exchanges []exchange

	normalizer
	ctx            context.Context
	area, scenario string
	// lastStored are the objects of the scenario at their last read from etcd.
	lastStored map[string]*mvccpb.KeyValue
	// err is the first error. No requests are sent after it.
	err error
}

// record sends the requests of all areas.
func record(ctx context.Context, name string) (*recording, error) {
	r := &recording{name: name, ctx: ctx}
	r.normalizer = normalizer{start: startTime, firstRevision: firstRevision, etcdRevision: r.etcdRevision}
	start := time.Now()
	if err := clearEtcd(ctx); err != nil {
		return nil, fmt.Errorf("%s: deleting the objects of the previous recording: %w", name, err)
	}
	for _, area := range areas {
		r.area = area.name
		area.send(r)
	}
	if r.err != nil {
		return nil, fmt.Errorf("%s: %s: %w", name, r.scenario, r.err)
	}
	fmt.Printf("%s: recorded %d responses in %s\n", name, len(r.exchanges), time.Since(start).Round(time.Second))
	return r, nil
}

// startScenario starts a scenario. Scenarios do not share objects.
func (r *recording) startScenario(format string, args ...any) {
	if r.err == nil {
		r.scenario = fmt.Sprintf(format, args...)
	}
	r.reset()
	r.lastStored = map[string]*mvccpb.KeyValue{}
}

func (r *recording) etcdRevision() int64 {
	if r.err != nil {
		return 0
	}
	revision, err := etcdRevision(r.ctx)
	r.err = err
	return revision
}

// do sends a request and records the response.
func (r *recording) do(req request) *response {
	if r.err != nil {
		return &response{}
	}
	req.method = cmp.Or(req.method, http.MethodGet)
	resp, err := send(r.ctx, req)
	if err != nil {
		r.err = err
		return &response{}
	}
	if fieldText(req.body, "metadata", "generateName") != "" {
		r.addGeneratedName(cmp.Or(fieldText(resp.body, "metadata", "name"), fieldText(resp.body, "details", "name")))
	}
	r.exchanges = append(r.exchanges, exchange{area: r.area, scenario: r.scenario, description: r.describe(req), request: req, response: resp, text: r.normalizeResponse(resp), selfLink: r.text(expectedSelfLink(req, resp))})
	return resp
}

func (r *recording) get(path string) *response { return r.do(request{path: path}) }

// recordStored records the stored bytes of an object in the test namespace, and whether resp has its
// current resourceVersion.
func (r *recording) recordStored(resource, name string, resp *response) {
	r.recordStoredDifference(nil, resource, name, resp)
}

// recordStoredDifference is recordStored after an update for which the two servers make different
// decisions.
func (r *recording) recordStoredDifference(diff *difference, resource, name string, resp *response) {
	if r.err != nil {
		return
	}
	object, err := readStored(r.ctx, resource, namespace, name)
	if err != nil {
		r.err = err
		return
	}
	text := "nothing\n"
	if object != nil {
		same := fieldText(resp.body, "metadata", "resourceVersion") == fmt.Sprint(object.ModRevision)
		text = fmt.Sprintf("response has the stored revision: %t\n%s", same, r.dump(dump(object.Value)))
	}
	before := r.lastStored[resource+"/"+name]
	r.lastStored[resource+"/"+name] = object
	r.exchanges = append(r.exchanges, exchange{
		area: r.area, scenario: r.scenario, description: "stored " + resource, request: request{difference: diff}, text: text,
		unchanged: object != nil && before != nil && object.ModRevision == before.ModRevision && bytes.Equal(object.Value, before.Value),
	})
}

// deleteFromEtcd deletes an object that differs between the phases, without sending a request.
func (r *recording) deleteFromEtcd(resource, name string) {
	if r.err == nil {
		_, r.err = etcd.Delete(r.ctx, "/registry/"+resource+"/"+namespace+"/"+name)
	}
}

// describe returns a normalized description of a request.
func (r *recording) describe(req request) string {
	q := req.method + " " + r.text(req.path)
	for _, header := range [][2]string{{"Content-Type", req.contentType}, {"Accept", req.accept}, {"user", req.user}} {
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

// normalizeResponse returns a response as text, without values that vary between recordings.
func (r *recording) normalizeResponse(resp *response) string {
	contentType := resp.header.Get("Content-Type")
	body := string(resp.body)
	switch {
	case strings.HasPrefix(contentType, protobufType+";stream=watch"):
		body = r.dump(dumpFrames(resp.body))
	case strings.HasPrefix(contentType, protobufType):
		body = r.dump(dump(resp.body))
	case strings.Contains(body, `"kind":"Table"`), strings.Contains(body, "kind: Table"):
		body = r.table(body)
	default:
		body = r.text(body)
	}
	return fmt.Sprintf("%d\n%s\n%s", resp.code, r.text(formatHeaders(resp.header)), body)
}
