// Command promql asks what Prometheus makes of rules and queries, without a Prometheus: it is
// that one's parser, engine and exposition format over samples in memory. It is a module of its
// own, so that neither the product nor the control plane of the tests depends on Prometheus.
//
//	kubectl kustomize DIRECTORY | promql check   # ServiceMonitors and PrometheusRules are valid
//	promql eval <request.json >response.json     # see request and response in eval.go
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "promql:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	input, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "check":
		rules, err := parseManifests(input)
		if err == nil && len(rules) == 0 {
			err = errors.New("there is no alert among the manifests on standard input")
		}
		return err
	case len(args) == 1 && args[0] == "eval":
		var r request
		if err := json.Unmarshal(input, &r); err != nil {
			return fmt.Errorf("reading the request: %w", err)
		}
		answer, err := r.eval()
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(answer)
	}
	return errors.New("usage: promql check|eval, with the input on standard input")
}
