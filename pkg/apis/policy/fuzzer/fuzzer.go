// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fuzzer provides functions that fill the types of pkg/apis/policy randomly, for round
// trip tests.
package fuzzer

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeserializer "k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/randfill"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// Funcs returns the fuzzer functions. They only create values that defaulting does not change.
func Funcs(runtimeserializer.CodecFactory) []any {
	return []any{
		func(spec *policy.JobUpdatePolicySpec, c randfill.Continue) {
			c.FillNoCustom(spec)
			if spec.NamespaceSelector == nil {
				spec.NamespaceSelector = &metav1.LabelSelector{}
			}
			if spec.JobSelector == nil {
				spec.JobSelector = &metav1.LabelSelector{}
			}
			spec.Action = []policy.Action{policy.Allow, policy.Warn}[c.Intn(2)]
		},
		func(subject *rbacv1.Subject, c randfill.Continue) {
			c.FillNoCustom(subject)
			subject.Kind = []string{rbacv1.UserKind, rbacv1.GroupKind, rbacv1.ServiceAccountKind}[c.Intn(3)]
			subject.APIGroup = rbacv1.GroupName
			if subject.Kind == rbacv1.ServiceAccountKind {
				subject.APIGroup = ""
			}
		},
	}
}
