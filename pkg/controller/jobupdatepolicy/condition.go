// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// maxMessageLength is the maximum length of a condition's message in bytes. The API allows
// 32768.
const maxMessageLength = 4096

// setReadyCondition sets the Ready condition for the result of compiling the policy, and
// reports whether that changes the status.
func setReadyCondition(p *v1alpha1.JobUpdatePolicy, compileErr error) bool {
	before := p.Status.DeepCopy()
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonActive,
		Message: "all fields of the policy are active", ObservedGeneration: p.Generation,
	}
	if compileErr != nil {
		ready.Status, ready.Reason = metav1.ConditionFalse, v1alpha1.ReasonUnsupportedFields
		ready.Message = compileErr.Error()
		if len(ready.Message) > maxMessageLength {
			ready.Message = ready.Message[:maxMessageLength] + " ..."
		}
	}
	meta.SetStatusCondition(&p.Status.Conditions, ready)
	p.Status.ObservedGeneration = p.Generation
	return !apiequality.Semantic.DeepEqual(before, &p.Status)
}
