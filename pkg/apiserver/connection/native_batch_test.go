// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

func TestNativeBatch_Disabled(t *testing.T) {
	body := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/openapi/v3" || body == "" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	client, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	n := NewNativeBatch(client.RESTClient())
	for _, step := range []struct {
		state, body string
		want        bool
	}{
		{"not reached yet", "", false},
		{"enabled", `{"paths":{"apis/batch":{},"apis/batch/v1":{}}}`, false},
		{"disabled, and not published by Batchgate yet", `{"paths":{"apis/apps":{}}}`, true},
		{"disabled, and published by Batchgate", `{"paths":{"apis/apps":{},"apis/batch/v1":{}}}`, true},
		{"not reached any more", "", true},
		{"invalid", "x", true},
		{"enabled again", `{"paths":{"apis/batch":{},"apis/batch/v1":{}}}`, false},
	} {
		body = step.body
		n.poll(t.Context())
		if got := n.Disabled(); got != step.want {
			t.Errorf("%s: disabled is %t, want %t", step.state, got, step.want)
		}
	}
}
