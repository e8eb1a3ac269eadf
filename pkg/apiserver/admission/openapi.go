// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/openapi"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/spec3"
	openapiutil "k8s.io/kube-openapi/pkg/util"

	policyv1alpha1 "github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// clientWithOpenAPI is a client of the cluster with this server's OpenAPI documents, which the
// MutatingAdmissionPolicy plugin needs to apply policies to Jobs, CronJobs and JobUpdatePolicies.
// kube-apiserver has none of batch/v1 if it does not serve batch/v1 itself and does not aggregate
// Batchgate's yet.
type clientWithOpenAPI struct {
	kubernetes.Interface
	documents openAPIDocuments
}

var _ kubernetes.Interface = clientWithOpenAPI{}

// withOpenAPI returns the client with the schemas of the configuration.
func withOpenAPI(client kubernetes.Interface, config *common.OpenAPIV3Config) (kubernetes.Interface, error) {
	documents := openAPIDocuments{}
	for groupVersion, kinds := range map[schema.GroupVersion][]any{
		batchv1.SchemeGroupVersion:                       {&batchv1.Job{}, &batchv1.CronJob{}},
		schema.GroupVersion(policyv1alpha1.GroupVersion): {&policyv1alpha1.JobUpdatePolicy{}},
	} {
		document, err := newOpenAPIDocument("apis/"+groupVersion.String(), config, kinds)
		if err != nil {
			return nil, fmt.Errorf("building the schemas of %s: %w", groupVersion, err)
		}
		documents[document.path] = document
	}
	return clientWithOpenAPI{client, documents}, nil
}

// Discovery implements kubernetes.Interface.
func (c clientWithOpenAPI) Discovery() discovery.DiscoveryInterfaces {
	return discoveryWithOpenAPI{c.Interface.Discovery(), c.documents}
}

type discoveryWithOpenAPI struct {
	discovery.DiscoveryInterfaces
	documents openAPIDocuments
}

var _ discovery.DiscoveryInterfaces = discoveryWithOpenAPI{}

// OpenAPIV3 implements discovery.OpenAPIV3SchemaInterface.
func (d discoveryWithOpenAPI) OpenAPIV3() openapi.Client { return d.documents }

// OpenAPIV3WithContext implements discovery.OpenAPIV3SchemaInterfaceWithContext.
func (d discoveryWithOpenAPI) OpenAPIV3WithContext(context.Context) openapi.ClientWithContext {
	return openapi.ToClientWithContext(d.documents)
}

// openAPIDocuments are OpenAPI v3 documents by their path.
type openAPIDocuments map[string]openapi.GroupVersion

var _ openapi.Client = openAPIDocuments{}

// Paths implements openapi.Client.
func (d openAPIDocuments) Paths() (map[string]openapi.GroupVersion, error) { return d, nil }

// openAPIDocument is an OpenAPI v3 document that has only schemas.
type openAPIDocument struct {
	path string
	json []byte
}

var _ openapi.GroupVersion = openAPIDocument{}

func newOpenAPIDocument(path string, config *common.OpenAPIV3Config, kinds []any) (openAPIDocument, error) {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = openapiutil.GetCanonicalTypeName(kind)
	}
	schemas, err := builder3.BuildOpenAPIDefinitionsForResources(config, names...)
	if err != nil {
		return openAPIDocument{}, err
	}
	content, err := json.Marshal(spec3.OpenAPI{Version: "3.0.0", Components: &spec3.Components{Schemas: schemas}})
	return openAPIDocument{path, content}, err
}

// Schema implements openapi.GroupVersion.
func (d openAPIDocument) Schema(string) ([]byte, error) { return d.json, nil }

// ServerRelativeURL implements openapi.GroupVersion.
func (d openAPIDocument) ServerRelativeURL() string { return "/openapi/v3/" + d.path }
