// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// startProxy starts a proxy in front of Batchgate that serves with Batchgate's certificate and changes
// the response for one path. It returns the proxy's address.
func startProxy(t *testing.T, path string, change func(*http.Response, string) string) (address string) {
	t.Helper()
	direct, err := url.Parse(cluster.DirectConfig().Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(cluster.DirectConfig())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(direct)
	proxy.Transport = transport
	proxy.ModifyResponse = func(response *http.Response) error {
		if response.Request.URL.Path != path {
			return nil
		}
		content, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		content = []byte(change(response, string(content)))
		response.Body = io.NopCloser(bytes.NewReader(content))
		response.Header.Set("Content-Length", strconv.Itoa(len(content)))
		return nil
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding") // change needs an uncompressed body
		proxy.ServeHTTP(w, r)
	}))
	certificate := filepath.Join(cluster.Dir, "pki", "batchgate")
	pair, err := tls.LoadX509KeyPair(certificate+".crt", certificate+".key")
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://")
}

// Even a trusted server would break clients if its API differed from the cluster's.
func TestPluginTakeoverChecksServer(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := s.APIService()
	emulated := regexp.MustCompile(`"emulationMinor": *"[0-9]+"`)
	for name, tc := range map[string]struct {
		path   string
		change func(*http.Response, string) string
		texts  []string
	}{
		"unchanged responses": {"/version", func(_ *http.Response, body string) string { return body }, []string{"would point v1.batch"}},
		"other minor version": {"/version", func(_ *http.Response, body string) string {
			return emulated.ReplaceAllString(body, `"emulationMinor":"1"`)
		},
			[]string{"Batchgate emulates 1.1: set --emulated-version=1.", "nothing was changed"}},
		"additional path": {"/openapi/v2", func(_ *http.Response, body string) string {
			return strings.Replace(body, `"paths":{`, `"paths":{"/apis/batch/v1/more":{},`, 1)
		}, []string{"1 more (/apis/batch/v1/more)", "set the server's --emulated-version to kube-apiserver's version", "nothing was changed"}},
		"missing resource": {"/apis/batch/v1", func(_ *http.Response, body string) string {
			return strings.Replace(body, `"name":"cronjobs"`, `"name":"others"`, 1)
		}, []string{"1 missing (cronjobs ", "1 more (others ", "nothing was changed"}},
		"server not ready": {"/readyz", func(response *http.Response, _ string) string {
			response.StatusCode = http.StatusInternalServerError
			return "[-]etcd failed: reason withheld"
		}, []string{"the server is not ready", "see the log of its Pod", "nothing was changed"}},
	} {
		t.Run(name, func(t *testing.T) {
			code := 2
			if name == "unchanged responses" {
				code = 0
			}
			s.WithT(t).ExpectPlugin(code, []string{"takeover", "--dry-run", "--batchgate-server=" + startProxy(t, tc.path, tc.change)}, tc.texts...)
		})
	}
	if after := s.APIService(); after != before {
		t.Errorf("after failed checks, the APIService is\n%s\nwant\n%s", after, before)
	}
}
