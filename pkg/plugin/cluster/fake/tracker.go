// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
)

// track adds UIDs, resource versions, conflicts and preconditions to an object tracker.
func (c *Cluster) track(tracker clienttesting.ObjectTracker, action clienttesting.Action) (runtime.Object, error) {
	react := clienttesting.ObjectReaction(tracker)
	gvr, namespace := action.GetResource(), action.GetNamespace()
	switch a := action.(type) {
	case clienttesting.CreateActionImpl:
		obj := a.Object.DeepCopyObject()
		accessor, err := meta.Accessor(obj)
		if err != nil {
			return nil, err
		}
		if accessor.GetResourceVersion() != "" {
			return nil, apierrors.NewBadRequest("resourceVersion may not be set on objects to be created")
		}
		accessor.SetUID(c.newUID())
		accessor.SetResourceVersion(c.nextVersion())
		a.Object = obj
		_, created, err := react(a)
		if err != nil || !c.persists(gvr) {
			return created, err
		}
		created = created.DeepCopyObject()
		if accessor, err = meta.Accessor(created); err != nil {
			return nil, err
		}
		accessor.SetResourceVersion(c.Persist(accessor.GetName(), created))
		return created, tracker.Update(gvr, created, namespace)
	case clienttesting.UpdateActionImpl:
		obj := a.Object.DeepCopyObject()
		accessor, err := meta.Accessor(obj)
		if err != nil {
			return nil, err
		}
		if err := c.checkPreconditions(tracker, action, accessor.GetName(), "", accessor.GetResourceVersion()); err != nil {
			return nil, err
		}
		accessor.SetResourceVersion(c.nextVersion())
		a.Object = obj
		_, updated, err := react(a)
		return updated, err
	case clienttesting.PatchActionImpl:
		var patch struct {
			Metadata struct{ ResourceVersion string }
		}
		if err := json.Unmarshal(a.Patch, &patch); err != nil {
			return nil, err
		}
		if err := c.checkPreconditions(tracker, action, a.Name, "", patch.Metadata.ResourceVersion); err != nil {
			return nil, err
		}
		_, patched, err := react(a)
		if err != nil {
			return nil, err
		}
		patched = patched.DeepCopyObject()
		accessor, err := meta.Accessor(patched)
		if err != nil {
			return nil, err
		}
		accessor.SetResourceVersion(c.nextVersion())
		if c.persists(gvr) {
			accessor.SetResourceVersion(c.Persist(a.Name, patched))
		}
		return patched, tracker.Update(gvr, patched, namespace)
	case clienttesting.DeleteActionImpl:
		if p := a.DeleteOptions.Preconditions; p != nil {
			uid, resourceVersion := "", ""
			if p.UID != nil {
				uid = string(*p.UID)
			}
			if p.ResourceVersion != nil {
				resourceVersion = *p.ResourceVersion
			}
			if err := c.checkPreconditions(tracker, action, a.Name, uid, resourceVersion); err != nil {
				return nil, err
			}
		}
		_, deleted, err := react(a)
		if err == nil && c.persists(gvr) {
			c.Persist(a.Name, nil)
		}
		return deleted, err
	case clienttesting.ActionImpl: // of discovery
		return nil, nil
	}
	_, obj, err := react(action)
	return obj, err
}

func (c *Cluster) persists(gvr schema.GroupVersionResource) bool {
	return c.Persist != nil && gvr.Resource == "validatingadmissionpolicybindings"
}

// checkPreconditions fails if the object has another UID or resource version. Empty values are
// not compared.
func (c *Cluster) checkPreconditions(tracker clienttesting.ObjectTracker, action clienttesting.Action, name, uid, resourceVersion string) error {
	current, err := tracker.Get(action.GetResource(), action.GetNamespace(), name)
	if err != nil {
		return err
	}
	accessor, err := meta.Accessor(current)
	if err != nil {
		return err
	}
	if uid != "" && uid != string(accessor.GetUID()) || resourceVersion != "" && resourceVersion != accessor.GetResourceVersion() {
		return apierrors.NewConflict(action.GetResource().GroupResource(), name, errors.New("the object has been modified"))
	}
	return nil
}

// invalid returns the error for a request that a ValidatingAdmissionPolicy denies.
func invalid(policy, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 422, Reason: metav1.StatusReasonInvalid,
		Message: fmt.Sprintf("ValidatingAdmissionPolicy '%s' with binding '%s' denied request: %s", policy, policy, message),
	}}
}
