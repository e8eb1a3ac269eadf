package parity

import (
	"bytes"
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

// The media types that are asked for and sent.
const (
	jsonType     = "application/json"
	yamlType     = "application/yaml"
	protobufType = "application/vnd.kubernetes.protobuf"

	jsonPatch      = "application/json-patch+json"
	mergePatch     = "application/merge-patch+json"
	strategicPatch = "application/strategic-merge-patch+json"
	applyPatch     = "application/apply-patch+yaml"
)

// request is an HTTP request, and what is expected of its answers.
type request struct {
	method string // GET where it is empty
	// path is below /apis/batch/v1 unless it begins with that, and may have a query.
	path                string
	contentType, accept string // application/json where they are empty; "none" is none
	body                []byte
	header              map[string]string
	as                  string // the admin where it is empty

	// until ends a watch: it is what the last event has in it.
	until string

	// what says in the tables what is changed, where differs is set.
	what string
	// differs is the documented difference that the answers must have.
	differs *difference
	// warning is what the answers warn of, where that is the difference.
	warning string
}

// answer is what a server said.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

// clients are HTTP clients by user; the admin is the empty one.
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

// url is where a path is.
func url(path string) string {
	if !strings.HasPrefix(path, "/apis") && !strings.HasPrefix(path, "/openapi") {
		path = "/apis/batch/v1" + path
	}
	return cluster.Config.Host + path
}

// send sends a request and reads the answer, of a watch up to its last event.
func send(ctx context.Context, r request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, url(r.path), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "surface/1.0")
	if r.accept != "none" {
		req.Header.Set("Accept", or(r.accept, jsonType))
	}
	if r.body != nil && r.contentType != "none" {
		req.Header.Set("Content-Type", or(r.contentType, jsonType))
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	response, err := clients[r.as].Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	defer response.Body.Close()
	a := &answer{code: response.StatusCode, header: response.Header}
	a.body, err = readBody(response, r.until)
	if err == nil && a.header.Get("Content-Encoding") == "gzip" {
		a.body, err = unpack(a.body)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the answer to %s %s, up to %q: %w", r.method, r.path, r.until, err)
	}
	return a, nil
}

// unpack returns what gzip has packed.
func unpack(packed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// readBody reads a body: all of it, or of a watch that succeeds the frames up to the one that
// has the text in it.
func readBody(response *http.Response, until string) ([]byte, error) {
	if until == "" || response.StatusCode != http.StatusOK {
		return io.ReadAll(response.Body)
	}
	next := nextLine
	if strings.Contains(response.Header.Get("Content-Type"), protobufType) {
		next = nextFrame
	}
	reader, seen := newReader(response.Body), []byte(nil)
	for {
		frame, err := next(reader)
		if seen = append(seen, frame...); err != nil || bytes.Contains(frame, []byte(until)) {
			return seen, err
		}
	}
}

// unlike are the headers that differ from one request to the next, that say how long a body is
// which has other numbers in it, or when a document was put together.
var unlike = []string{"Audit-Id", "Content-Length", "Date", "Last-Modified"}

// headers returns the others as text.
func headers(header http.Header) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if slices.Contains(unlike, name) {
			continue
		}
		for _, value := range header[name] {
			fmt.Fprintf(&text, "%s: %s\n", name, value)
		}
	}
	return text.String()
}
