// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package openapi

import (
	"strings"

	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	upstreamopenapi "k8s.io/kubernetes/pkg/generated/openapi"

	policyopenapi "github.com/batchgate/batchgate/pkg/generated/openapi"
)

const (
	title = "Batchgate"
	// batchPrefix is the common prefix of the model names of batch/v1.
	batchPrefix = "io.k8s.api.batch.v1."
)

// ApplyTo sets the OpenAPI v2 and v3 configurations.
func ApplyTo(generic *genericapiserver.Config) {
	getDefinitions := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(servedDefinitions)
	namer := openapinamer.NewDefinitionNamer(legacyscheme.Scheme)
	generic.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(getDefinitions, namer)
	generic.OpenAPIConfig.Info.Title = title
	generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(getDefinitions, namer)
	generic.OpenAPIV3Config.Info.Title = title
}

// servedDefinitions returns the definitions of batch/v1 and of the policies, with their
// dependencies. If upstream and this project both define a model, it returns upstream's.
//
// The generic server keeps all definitions in memory as long as it runs. Upstream's definitions
// of all built-in kinds would take a third of the heap of an idle server.
func servedDefinitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	upstream, policies := upstreamopenapi.GetOpenAPIDefinitions(ref), policyopenapi.GetOpenAPIDefinitions(ref)
	served := map[string]common.OpenAPIDefinition{}
	var add func(name string)
	add = func(name string) {
		definition, ok := upstream[name]
		if !ok {
			definition, ok = policies[name]
		}
		if _, done := served[name]; done || !ok {
			return
		}
		served[name] = definition
		for _, dependency := range definition.Dependencies {
			add(dependency)
		}
	}
	for name := range policies {
		add(name)
	}
	for name := range upstream {
		if strings.HasPrefix(name, batchPrefix) {
			add(name)
		}
	}
	return served
}
