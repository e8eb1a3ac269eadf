package disruption

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// answers counts what clients are not to see: client-go sends a request again that is answered
// with a Retry-After, and whoever uses it is not told.
type answers struct {
	mu     sync.Mutex
	counts map[string]int
}

// exacting makes the drill's client one that takes account of its answers.
func (d *drill) exacting() *answers {
	d.t.Helper()
	a := &answers{counts: map[string]int{}}
	config := rest.CopyConfig(d.Config)
	config.Wrap(func(inner http.RoundTripper) http.RoundTripper { return counting{inner, a} })
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		d.t.Fatal(err)
	}
	before := d.Client
	d.Client = client
	d.t.Cleanup(func() { d.Client = before })
	return a
}

type counting struct {
	http.RoundTripper
	*answers
}

// RoundTrip implements http.RoundTripper.
func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		if r.Context().Err() == nil {
			c.add("no answer: " + err.Error())
		}
		return nil, err
	}
	if response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= http.StatusInternalServerError {
		// The aggregator says why in plain text.
		reason, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(bytes.NewReader(reason))
		c.add(response.Status + ": " + string(bytes.TrimSpace(reason)))
	}
	return response, nil
}

// addresses differ between answers that are the same otherwise.
var addresses = regexp.MustCompile(`[0-9.]+:[0-9]+`)

func (a *answers) add(answer string) {
	answer = addresses.ReplaceAllString(answer, "...")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[answer]++
}

// String returns the answers and how often they were given.
func (a *answers) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprintf("%v", a.counts)
}

func (a *answers) total() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	total := 0
	for _, count := range a.counts {
		total += count
	}
	return total
}
