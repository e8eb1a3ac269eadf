// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command openapi-models prints the generated OpenAPI definitions as an OpenAPI v2 document.
// applyconfiguration-gen reads the schema of server-side apply from it.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/batchgate/batchgate/pkg/generated/openapi"
)

func main() {
	document := spec.Swagger{SwaggerProps: spec.SwaggerProps{
		Swagger:     "2.0",
		Info:        &spec.Info{InfoProps: spec.InfoProps{Title: "Batchgate", Version: "unversioned"}},
		Definitions: spec.Definitions{},
	}}
	ref := func(name string) spec.Ref { return spec.MustCreateRef("#/definitions/" + name) }
	for name, definition := range openapi.GetOpenAPIDefinitions(ref) {
		document.Definitions[name] = definition.Schema
		// Some types have a different definition in v2.
		if v2, ok := definition.Schema.Extensions[common.ExtensionV2Schema].(spec.Schema); ok {
			document.Definitions[name] = v2
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(document); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
