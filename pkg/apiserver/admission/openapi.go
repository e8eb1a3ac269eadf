// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/openapi"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/spec3"
	openapiutil "k8s.io/kube-openapi/pkg/util"
)

// batchPath is the path of batch/v1 in an index of OpenAPI documents.
var batchPath = "apis/" + batchv1.SchemeGroupVersion.String()

// clientWithOpenAPI is a client of the cluster with this server's OpenAPI document of batch/v1,
// which the MutatingAdmissionPolicy plugin needs to apply policies to Jobs. kube-apiserver has
// none if it does not serve batch/v1 itself and does not aggregate Batchgate's yet.
type clientWithOpenAPI struct {
	kubernetes.Interface
	document openAPIDocument
}

var _ kubernetes.Interface = clientWithOpenAPI{}

// withOpenAPI returns the client with the schemas of the configuration.
func withOpenAPI(client kubernetes.Interface, config *common.OpenAPIV3Config) (kubernetes.Interface, error) {
	schemas, err := builder3.BuildOpenAPIDefinitionsForResources(config,
		openapiutil.GetCanonicalTypeName(&batchv1.Job{}), openapiutil.GetCanonicalTypeName(&batchv1.CronJob{}))
	if err != nil {
		return nil, fmt.Errorf("building the schemas of batch/v1: %w", err)
	}
	document, err := json.Marshal(spec3.OpenAPI{Version: "3.0.0", Components: &spec3.Components{Schemas: schemas}})
	if err != nil {
		return nil, fmt.Errorf("encoding the schemas of batch/v1: %w", err)
	}
	return clientWithOpenAPI{client, document}, nil
}

// Discovery implements kubernetes.Interface.
func (c clientWithOpenAPI) Discovery() discovery.DiscoveryInterfaces {
	return discoveryWithOpenAPI{c.Interface.Discovery(), c.document}
}

type discoveryWithOpenAPI struct {
	discovery.DiscoveryInterfaces
	document openAPIDocument
}

var _ discovery.DiscoveryInterfaces = discoveryWithOpenAPI{}

// OpenAPIV3 implements discovery.OpenAPIV3SchemaInterface.
func (d discoveryWithOpenAPI) OpenAPIV3() openapi.Client { return d.document }

// OpenAPIV3WithContext implements discovery.OpenAPIV3SchemaInterfaceWithContext.
func (d discoveryWithOpenAPI) OpenAPIV3WithContext(context.Context) openapi.ClientWithContext {
	return openapi.ToClientWithContext(d.document)
}

// openAPIDocument is the JSON of an OpenAPI v3 document that has only schemas.
type openAPIDocument []byte

var (
	_ openapi.Client       = openAPIDocument{}
	_ openapi.GroupVersion = openAPIDocument{}
)

// Paths implements openapi.Client.
func (d openAPIDocument) Paths() (map[string]openapi.GroupVersion, error) {
	return map[string]openapi.GroupVersion{batchPath: d}, nil
}

// Schema implements openapi.GroupVersion.
func (d openAPIDocument) Schema(string) ([]byte, error) { return d, nil }

// ServerRelativeURL implements openapi.GroupVersion.
func (d openAPIDocument) ServerRelativeURL() string { return "/openapi/v3/" + batchPath }
