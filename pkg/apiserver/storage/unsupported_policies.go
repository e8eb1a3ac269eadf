// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	policyapi "github.com/batchgate/batchgate/pkg/apis/policy"
	policyv1alpha1 "github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// maxReasonLength is the maximum length in bytes of the reason that a condition's message contains.
const maxReasonLength = 1024

// maxStrictErrors is the number of errors after which the decoder stops reporting them.
const maxStrictErrors = 100

// policyOptionsGetter makes the storage of JobUpdatePolicies mark the policies that this release does
// not fully support.
type policyOptionsGetter struct{ generic.RESTOptionsGetter }

var _ generic.RESTOptionsGetter = policyOptionsGetter{}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (g policyOptionsGetter) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	options, err := g.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil || resource != policyapi.Resource("jobupdatepolicies") {
		return options, err
	}
	config := *options.StorageConfig
	if config.Transformer == nil {
		config.Transformer = identity.NewEncryptCheckTransformer() // the storage's default
	}
	config.Transformer = policyTransformer{config.Transformer}
	options.StorageConfig = &config
	return options, nil
}

// policyTransformer marks stored policies that this release cannot decode completely with the
// condition Supported=False, so that they grant nothing. A policy without this mark could grant
// more than intended: decoding drops unknown fields, and such a field may have narrowed the policy.
// A policy that cannot be decoded at all is replaced by one without fields. Otherwise a single
// broken policy would make all of them unreadable.
//
// The mark is only in memory: validation rejects updates of a marked policy, because storing it
// would lose the unknown fields. Deleting it is possible.
type policyTransformer struct{ value.Transformer }

var _ value.Transformer = policyTransformer{}

// strictDecoder reports unknown fields.
var strictDecoder = jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, legacyscheme.Scheme, legacyscheme.Scheme,
	jsonserializer.SerializerOptions{Strict: true})

// TransformFromStorage implements value.Transformer.
func (t policyTransformer) TransformFromStorage(ctx context.Context, data []byte, dataCtx value.Context) ([]byte, bool, error) {
	stored, stale, err := t.Transformer.TransformFromStorage(ctx, data, dataCtx)
	if err != nil {
		return nil, false, err // The encryption key may be missing only for a moment.
	}
	name := path.Base(string(dataCtx.AuthenticatedData()))
	marked, err := markUnsupported(stored, name)
	return marked, stale, err
}

// markUnsupported returns the stored policy, with a mark if this release does not support all of
// it.
func markUnsupported(stored []byte, name string) ([]byte, error) {
	p, unknown, err := decodePolicy(stored, name)
	switch {
	case err != nil:
		// The annotation keeps the controller from restoring a broken bootstrap policy, which may have
		// granted less than the default.
		p = &policyv1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{policyapi.AutoUpdateAnnotation: "false"},
		}}
		p.SetGroupVersionKind(schema.GroupVersion(policyv1alpha1.GroupVersion).WithKind("JobUpdatePolicy"))
		mark(p, policyv1alpha1.ReasonUndecodable, fmt.Sprintf("the stored policy cannot be decoded, so it grants nothing: %s; "+
			"upgrade all replicas if a later release wrote it, or delete the policy and create it again", cut(err.Error())))
	case len(unknown) > 0:
		mark(p, policyv1alpha1.ReasonUnsupportedFields, fmt.Sprintf("this release does not support some fields of the policy, so it grants nothing: %s; "+
			"upgrade all replicas, or delete the policy and create it again", cut(strings.Join(unknown, ", "))))
	default:
		return stored, nil
	}
	return json.Marshal(p)
}

// decodePolicy returns the policy, and the paths of its fields that this release does not know, except
// those in metadata and status.
func decodePolicy(stored []byte, name string) (*policyv1alpha1.JobUpdatePolicy, []string, error) {
	obj, _, err := strictDecoder.Decode(stored, nil, nil)
	strict, isStrict := runtime.AsStrictDecodingError(err)
	if err != nil && !isStrict {
		return nil, nil, err
	}
	p, ok := obj.(*policyv1alpha1.JobUpdatePolicy)
	if !ok {
		return nil, nil, fmt.Errorf("it is a %T", obj)
	}
	if p.Name != name {
		return nil, nil, fmt.Errorf("its name is %q", p.Name)
	}
	if !isStrict {
		return p, nil, nil
	}
	var unknown []string
	if len(strict.Errors()) >= maxStrictErrors {
		unknown = append(unknown, fmt.Sprintf("%d or more fields, of which some are not listed", maxStrictErrors))
	}
	for _, err := range strict.Errors() {
		field, ok := strings.CutPrefix(err.Error(), "unknown field ")
		if ok && !slices.ContainsFunc([]string{`"metadata.`, `"status.`}, func(prefix string) bool { return strings.HasPrefix(field, prefix) }) {
			unknown = append(unknown, strings.Trim(field, `"`))
		}
	}
	return p, unknown, nil
}

// mark sets the conditions of a policy that grants nothing.
func mark(p *policyv1alpha1.JobUpdatePolicy, reason, message string) {
	since := p.CreationTimestamp
	if since.IsZero() {
		since = metav1.NewTime(time.Unix(0, 0))
	}
	for _, conditionType := range []string{policyv1alpha1.ConditionReady, policyv1alpha1.ConditionSupported} {
		meta.RemoveStatusCondition(&p.Status.Conditions, conditionType)
		meta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{
			Type: conditionType, Status: metav1.ConditionFalse, Reason: reason, Message: message,
			ObservedGeneration: p.Generation, LastTransitionTime: since,
		})
	}
	p.Status.ObservedGeneration = p.Generation
}

func cut(reason string) string {
	if len(reason) > maxReasonLength {
		return strings.ToValidUTF8(reason[:maxReasonLength], "") + " ..."
	}
	return reason
}
