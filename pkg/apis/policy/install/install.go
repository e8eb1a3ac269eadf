// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install registers all versions of the API group policy.batchgate.io in the scheme of
// the server.
package install

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

func init() { Install(legacyscheme.Scheme) }

// Install registers all versions of the group in a scheme.
func Install(scheme *runtime.Scheme) {
	utilruntime.Must(policy.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.Install(scheme))
	utilruntime.Must(scheme.SetVersionPriority(schema.GroupVersion(v1alpha1.GroupVersion)))
}
