// Package openapi configures the OpenAPI documents that the server publishes.
//
// Only pkg/apiserver/options may import this package.
package openapi
