// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authorization

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/batchgate/batchgate/pkg/apiserver/authentication"
)

func TestApplyDelegating(t *testing.T) {
	reviews := 0
	kube := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reviews++
		review := &authorizationv1.SubjectAccessReview{}
		if err := json.NewDecoder(r.Body).Decode(review); err != nil {
			t.Error(err)
		}
		review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SubjectAccessReview"
		review.Status.Allowed = review.Spec.User == "alice"
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	defer kube.Close()
	kubeconfig := writeKubeconfig(t, kube.URL)
	alice := &user.DefaultInfo{Name: "alice"}
	job := authorizer.AttributesRecord{Verb: "patch", APIGroup: "batch", APIVersion: "v1", Resource: "jobs", Namespace: "a", Name: "b", ResourceRequest: true}
	health := authorizer.AttributesRecord{Verb: "get", Path: "/readyz"}
	by := func(a authorizer.AttributesRecord, u user.Info) authorizer.Attributes {
		a.User = u
		return &a
	}
	ctx := genericapirequest.WithRequestInfo(t.Context(), &genericapirequest.RequestInfo{
		IsResourceRequest: true, Verb: "patch", APIGroup: "batch", APIVersion: "v1", Resource: "jobs", Namespace: "a", Name: "b",
	})
	for name, tc := range map[string]struct {
		attributes authorizer.Attributes
		frontProxy bool // --authorize-front-proxy
		want       authorizer.Decision
		reviews    int
	}{
		"user with the right":        {by(job, alice), false, authorizer.DecisionAllow, 1},
		"user without the right":     {by(job, &user.DefaultInfo{Name: "bob"}), false, authorizer.DecisionNoOpinion, 1},
		"admin":                      {by(job, &user.DefaultInfo{Name: "root", Groups: []string{user.SystemPrivilegedGroup}}), false, authorizer.DecisionAllow, 0},
		"health without credentials": {by(health, &user.DefaultInfo{Name: user.Anonymous}), false, authorizer.DecisionAllow, 0},
		"proxied":                    {by(job, authentication.ProxiedUser{Info: &user.DefaultInfo{Name: "bob"}}), false, authorizer.DecisionAllow, 0},
		"proxied, reviewed again":    {by(job, authentication.ProxiedUser{Info: &user.DefaultInfo{Name: "bob"}}), true, authorizer.DecisionNoOpinion, 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := genericoptions.NewDelegatingAuthorizationOptions()
			o.RemoteKubeConfigFile, o.AllowCacheTTL = kubeconfig, time.Minute
			info := &genericapiserver.AuthorizationInfo{}
			if err := ApplyDelegating(info, o, tc.frontProxy); err != nil {
				t.Fatal(err)
			}
			reviews = 0
			for range 2 { // the second answer comes from the cache
				if got, _, err := info.Authorizer.Authorize(ctx, tc.attributes); got != tc.want || err != nil {
					t.Errorf("got %v, error %v; want %v", got, err, tc.want)
				}
			}
			if reviews != tc.reviews {
				t.Errorf("kube-apiserver got %d reviews, want %d", reviews, tc.reviews)
			}
		})
	}
}

func TestNewClient_LimitsReviews(t *testing.T) {
	o := genericoptions.NewDelegatingAuthorizationOptions()
	o.RemoteKubeConfigFile = writeKubeconfig(t, "https://192.0.2.1")
	client, err := newClient(o)
	if err != nil {
		t.Fatal(err)
	}
	if limiter := client.AuthorizationV1().RESTClient().GetRateLimiter(); limiter == nil || limiter.QPS() != reviewQPS {
		t.Errorf("the limit of reviews is %v, want %d per second", limiter, reviewQPS)
	}
}

// writeKubeconfig writes a kubeconfig without credentials and returns its name.
func writeKubeconfig(t *testing.T, server string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {Server: server}}, AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {}},
		Contexts: map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}}, CurrentContext: "x",
	}, file)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
