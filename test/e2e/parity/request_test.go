// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
)

const (
	jsonType     = "application/json"
	yamlType     = "application/yaml"
	protobufType = "application/vnd.kubernetes.protobuf"

	jsonPatch      = "application/json-patch+json"
	mergePatch     = "application/merge-patch+json"
	strategicPatch = "application/strategic-merge-patch+json"
	applyPatch     = "application/apply-patch+yaml"
)

// userAgent makes test-client the default field manager. The API server sorts managers by the second
// of their last write and then by name. Requests write in this order too, so that the result does
// not depend on when a second starts: creator, putter, test-client, test-client-merger, two.
const userAgent = "test-client/1.0"

// request is an HTTP request and the difference that its responses must have.
type request struct {
	method string // defaults to GET
	// path may have a query. It is relative to /apis/batch/v1, unless it starts with /apis or /openapi.
	path                string
	contentType, accept string // default to application/json; "none" omits the header
	body                []byte
	header              map[string]string
	user                string // defaults to the admin

	// until ends a watch: reading stops after the first event that contains this text.
	until string

	// difference is nil if Batchgate must respond as kube-apiserver does.
	difference *difference
	// warning is the expected warning of Batchgate, for differences that are warnings.
	warning string
	// title names the change in the table of gated updates; empty for no row.
	title string
}

type response struct {
	code   int
	header http.Header
	body   []byte
}

// clients are HTTP clients by user. The key of the admin is empty.
var clients map[string]*http.Client

func newClients(configs map[string]*rest.Config) (map[string]*http.Client, error) {
	clients := map[string]*http.Client{}
	for user, config := range configs {
		config = rest.CopyConfig(config)
		config.DisableCompression = true
		transport, err := rest.TransportFor(config)
		if err != nil {
			return nil, err
		}
		clients[user] = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return clients, nil
}

func requestURL(path string) string {
	if !strings.HasPrefix(path, "/apis") && !strings.HasPrefix(path, "/openapi") {
		path = "/apis/batch/v1" + path
	}
	return cluster.Config.Host + path
}

// send sends a request and reads the response. See request.until for watches.
func send(ctx context.Context, r request) (*response, error) {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, requestURL(r.path), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	if r.accept != "none" {
		req.Header.Set("Accept", cmp.Or(r.accept, jsonType))
	}
	if r.body != nil && r.contentType != "none" {
		req.Header.Set("Content-Type", cmp.Or(r.contentType, jsonType))
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := clients[r.user].Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	defer resp.Body.Close()
	body, err := readBody(resp, r.until)
	if err == nil && resp.Header.Get("Content-Encoding") == "gzip" {
		body, err = gunzip(body)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the response to %s %s up to %q: %w", r.method, r.path, r.until, err)
	}
	return &response{code: resp.StatusCode, header: resp.Header, body: body}, nil
}

func gunzip(compressed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

// readBody reads the whole body, or the events of a watch up to the first one that contains until.
func readBody(resp *http.Response, until string) ([]byte, error) {
	if until == "" || resp.StatusCode != http.StatusOK {
		return io.ReadAll(resp.Body)
	}
	next := readLine
	if strings.Contains(resp.Header.Get("Content-Type"), protobufType) {
		next = readFrame
	}
	reader, body := newReader(resp.Body), []byte(nil)
	for {
		frame, err := next(reader)
		if body = append(body, frame...); err != nil || bytes.Contains(frame, []byte(until)) {
			return body, err
		}
	}
}

// ignoredHeaders differ between equal requests: IDs and times, the length of bodies that contain
// revisions and times, and the header that only Batchgate sets.
var ignoredHeaders = []string{"Audit-Id", "Batchgate-Version", "Content-Length", "Date", "Last-Modified"}

func formatHeaders(header http.Header) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if slices.Contains(ignoredHeaders, name) {
			continue
		}
		for _, value := range header[name] {
			fmt.Fprintf(&text, "%s: %s\n", name, value)
		}
	}
	return text.String()
}
