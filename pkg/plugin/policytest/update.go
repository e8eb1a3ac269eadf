// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // defaults and conversion of Jobs
	_ "k8s.io/kubernetes/pkg/apis/core/install"  // and of their Pod templates
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

// Update is an update of a Job.
type Update struct {
	// User and Groups are the user who sends the update. The groups that every user or service account is
	// in are added.
	User   string
	Groups []string
	// NamespaceLabels are the labels of the Job's namespace, without kubernetes.io/metadata.name.
	NamespaceLabels map[string]string
	// Namespace is the namespace of Jobs whose manifests have none. The default is "default".
	Namespace string
	// Old and New are the Job before and after the update, in YAML or JSON. Patch is a JSON merge patch
	// that can be set instead of New.
	Old, New, Patch []byte
}

// Result is the decision about an update.
type Result struct {
	Decision v1alpha1.ReviewDecision `json:"decision"`
	// Denied and Warned are the paths that no policy grants, and those that only policies with the action
	// Warn grant.
	Denied []string `json:"denied,omitempty"`
	Warned []string `json:"warned,omitempty"`
	// Policies are the names of the policies that grant changes of the update.
	Policies []string `json:"policies,omitempty"`
}

// Evaluate returns the decision about an update. Both Jobs get the defaults of Kubernetes first. The rules
// of Kubernetes, such as the immutable Pod template of a running Job, are not evaluated.
func (p *Policies) Evaluate(u Update) (*Result, error) {
	snapshot, err := p.compile()
	if err != nil {
		return nil, err
	}
	oldV1, err := decodeJob(u.Old, u.Namespace)
	if err != nil {
		return nil, fmt.Errorf("old Job: %w", err)
	}
	if u.Patch != nil {
		if u.New, err = merge(oldV1, u.Patch); err != nil {
			return nil, fmt.Errorf("patch: %w", err)
		}
	}
	newV1, err := decodeJob(u.New, u.Namespace)
	if err != nil {
		return nil, fmt.Errorf("new Job: %w", err)
	}
	oldJob, newJob := &batch.Job{}, &batch.Job{}
	if err := errors.Join(legacyscheme.Scheme.Convert(oldV1, oldJob, nil), legacyscheme.Scheme.Convert(newV1, newJob, nil)); err != nil {
		return nil, err
	}
	if newJob.Name != oldJob.Name || newJob.Namespace != oldJob.Namespace {
		return nil, fmt.Errorf("the update is about the Job %s/%s before and %s/%s after it", oldJob.Namespace, oldJob.Name, newJob.Namespace, newJob.Name)
	}
	namespace := labels.Merge(u.NamespaceLabels, labels.Set{corev1.LabelMetadataName: oldJob.Namespace})
	decision, err := snapshot.Evaluate(newJob, oldJob, fieldpolicy.User{Name: u.User, Groups: u.allGroups()}, func() labels.Set { return namespace })
	if err != nil {
		return nil, err
	}
	result := &Result{Decision: decisions[decision.Outcome], Policies: decision.GrantingPolicies()}
	for _, path := range decision.DeniedPaths() {
		result.Denied = append(result.Denied, path.String())
	}
	for _, path := range decision.WarnedPaths() {
		result.Warned = append(result.Warned, path.String())
	}
	return result, nil
}

// allGroups returns the groups of the user, with the ones that Kubernetes adds when it authenticates or
// impersonates a user.
func (u *Update) allGroups() []string {
	switch u.User {
	case "":
		return u.Groups
	case "system:anonymous":
		return append(slices.Clone(u.Groups), "system:unauthenticated")
	}
	groups := append(slices.Clone(u.Groups), "system:authenticated")
	if account, ok := strings.CutPrefix(u.User, "system:serviceaccount:"); ok {
		namespace, _, _ := strings.Cut(account, ":")
		groups = append(groups, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	}
	return groups
}

var decisions = map[fieldpolicy.Outcome]v1alpha1.ReviewDecision{
	fieldpolicy.Allow: v1alpha1.ReviewAllow,
	fieldpolicy.Warn:  v1alpha1.ReviewWarn,
	fieldpolicy.Deny:  v1alpha1.ReviewDeny,
}

// merge applies a JSON merge patch to a Job.
func merge(job *batchv1.Job, patch []byte) ([]byte, error) {
	stored, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	if patch, err = onlyDocument(patch); err != nil {
		return nil, err
	}
	patchJSON, err := yaml.YAMLToJSON(patch)
	if err != nil {
		return nil, err
	}
	return jsonpatch.MergePatch(stored, patchJSON)
}

// decodeJob returns the Job of a manifest with the defaults of Kubernetes.
func decodeJob(manifest []byte, namespace string) (*batchv1.Job, error) {
	job := &batchv1.Job{}
	if err := decode(manifest, batchv1.SchemeGroupVersion.WithKind("Job"), job); err != nil {
		return nil, err
	}
	if job.Namespace == "" {
		job.Namespace = cmp.Or(namespace, corev1.NamespaceDefault)
	}
	legacyscheme.Scheme.Default(job)
	return job, nil
}
