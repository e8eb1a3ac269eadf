package options

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	certutil "k8s.io/client-go/util/cert"

	"github.com/batchgate/batchgate/pkg/pki"
)

func TestOnlyWhatKubeAPIServerHasAuthorizedIsNotAskedForAgain(t *testing.T) {
	alice := &user.DefaultInfo{Name: "alice"}
	request := &genericapirequest.RequestInfo{
		IsResourceRequest: true, Path: "/apis/batch/v1/namespaces/a/jobs/b/status", Verb: "patch",
		APIGroup: "batch", APIVersion: "v1", Resource: "jobs", Subresource: "status", Namespace: "a", Name: "b",
	}
	asked := func(change func(*authorizer.AttributesRecord)) *authorizer.AttributesRecord {
		a := &authorizer.AttributesRecord{
			User: passedOn{alice}, ResourceRequest: true, Path: request.Path, Verb: "patch",
			APIGroup: "batch", APIVersion: "v1", Resource: "jobs", Subresource: "status", Namespace: "a", Name: "b",
		}
		change(a)
		return a
	}
	for name, tc := range map[string]struct {
		change  func(*authorizer.AttributesRecord)
		request *genericapirequest.RequestInfo
		want    authorizer.Decision
	}{
		"the request":                    {func(*authorizer.AttributesRecord) {}, request, authorizer.DecisionAllow},
		"without a request":              {func(*authorizer.AttributesRecord) {}, nil, authorizer.DecisionNoOpinion},
		"by another user":                {func(a *authorizer.AttributesRecord) { a.User = alice }, request, authorizer.DecisionNoOpinion},
		"creating what was not found":    {func(a *authorizer.AttributesRecord) { a.Verb = "create" }, request, authorizer.DecisionNoOpinion},
		"another group":                  {func(a *authorizer.AttributesRecord) { a.APIGroup = "" }, request, authorizer.DecisionNoOpinion},
		"another version":                {func(a *authorizer.AttributesRecord) { a.APIVersion = "v2" }, request, authorizer.DecisionNoOpinion},
		"another resource":               {func(a *authorizer.AttributesRecord) { a.Resource = "cronjobs" }, request, authorizer.DecisionNoOpinion},
		"the Job itself":                 {func(a *authorizer.AttributesRecord) { a.Subresource = "" }, request, authorizer.DecisionNoOpinion},
		"another namespace":              {func(a *authorizer.AttributesRecord) { a.Namespace = "b" }, request, authorizer.DecisionNoOpinion},
		"another name":                   {func(a *authorizer.AttributesRecord) { a.Name = "" }, request, authorizer.DecisionNoOpinion},
		"a path":                         {func(a *authorizer.AttributesRecord) { a.ResourceRequest = false }, request, authorizer.DecisionNoOpinion},
		"a request that is to no object": {func(a *authorizer.AttributesRecord) {}, &genericapirequest.RequestInfo{Path: request.Path, Verb: "patch"}, authorizer.DecisionNoOpinion},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			if tc.request != nil {
				ctx = genericapirequest.WithRequestInfo(ctx, tc.request)
			}
			delegate := authorizerfactory.NewPrivilegedGroups("system:masters")
			got, reason, err := once{delegate}.Authorize(ctx, asked(tc.change))
			if got != tc.want || err != nil {
				t.Errorf("the decision is %v (%s), want %v: %v", got, reason, tc.want, err)
			}
		})
	}
}

func TestOnlyTheFrontProxysCertificateMarksAUser(t *testing.T) {
	proxyCA, certificate := newCertificate(t, "front-proxy-client")
	_, stranger := newCertificate(t, "front-proxy-client")
	ca, err := dynamiccertificates.NewStaticCAContent("front-proxy", proxyCA.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	header := &authenticatorfactory.RequestHeaderConfig{
		CAContentProvider:   ca,
		AllowedClientNames:  headerrequest.StaticStringSlice{"front-proxy-client"},
		UsernameHeaders:     headerrequest.StaticStringSlice{"X-Remote-User"},
		UIDHeaders:          headerrequest.StaticStringSlice{"X-Remote-Uid"},
		GroupHeaders:        headerrequest.StaticStringSlice{"X-Remote-Group"},
		ExtraHeaderPrefixes: headerrequest.StaticStringSlice{"X-Remote-Extra-"},
	}
	for name, tc := range map[string]struct {
		certificates []*x509.Certificate
		marked       bool
	}{
		"the front proxy's":          {[]*x509.Certificate{certificate}, true},
		"that of another CA":         {[]*x509.Certificate{stranger}, false},
		"none":                       {nil, false},
		"that of another CA, before": {[]*x509.Certificate{stranger, certificate}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPatch, "https://batchgate/apis/batch/v1/namespaces/a/jobs/b", nil)
			r.TLS = &tls.ConnectionState{PeerCertificates: tc.certificates}
			r.Header.Set("X-Remote-User", "alice")
			response, ok, _ := frontProxy(header).AuthenticateRequest(r)
			if ok != tc.marked {
				t.Fatalf("authenticated: %t, want %t", ok, tc.marked)
			}
			if !ok {
				return
			}
			if _, marked := response.User.(passedOn); !marked || response.User.GetName() != "alice" {
				t.Errorf("the user is %#v", response.User)
			}
		})
	}
}

// newCertificate returns a new CA, and a client certificate of it.
func newCertificate(t *testing.T, name string) (*pki.Authority, *x509.Certificate) {
	t.Helper()
	ca, _, err := pki.New("ca")
	if err != nil {
		t.Fatal(err)
	}
	certPEM, _, err := ca.Sign(x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.ParseCertsPEM(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	return ca, certs[0]
}
