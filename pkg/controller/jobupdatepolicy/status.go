package jobupdatepolicy

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// The reasons of the condition Ready.
const (
	reasonInForce     = "Active"
	reasonNotAllKnown = "UnsupportedFields"
)

// maxMessage bounds the message of a condition. The API's limit is 32768 bytes.
const maxMessage = 4096

// setStatus states what is wrong with a policy, nil for nothing, and reports whether that
// is news.
func setStatus(p *v1alpha1.JobUpdatePolicy, wrong error) bool {
	was := p.Status.DeepCopy()
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: reasonInForce,
		Message: "all of the policy is in force", ObservedGeneration: p.Generation,
	}
	if wrong != nil {
		ready.Status, ready.Reason = metav1.ConditionFalse, reasonNotAllKnown
		ready.Message = wrong.Error()
		if len(ready.Message) > maxMessage {
			ready.Message = ready.Message[:maxMessage] + " ..."
		}
	}
	meta.SetStatusCondition(&p.Status.Conditions, ready)
	p.Status.ObservedGeneration = p.Generation
	return !apiequality.Semantic.DeepEqual(was, &p.Status)
}
