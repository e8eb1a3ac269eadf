package job

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

// Gate decides about updates of Jobs.
type Gate struct {
	// Policies holds the policies in force.
	Policies *fieldpolicy.Source
	// NamespaceLabels returns the labels of a namespace, nil where they are not known: then
	// only policies for all namespaces count.
	NamespaceLabels func(ctx context.Context, namespace string) labels.Set
}

// CheckReady returns an error for the client while no policies are loaded. The gate would
// refuse every update then, as if no policy granted it.
func (g *Gate) CheckReady() error {
	if g.Policies.Loaded() {
		return nil
	}
	err := apierrors.NewServiceUnavailable("the JobUpdatePolicies are not loaded yet, try again")
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return err
}

// decide decides about an update. Where it is allowed, new becomes the Job to store; where
// not, new is left as it is.
func (g *Gate) decide(ctx context.Context, new, old *batch.Job) *decision {
	user, policies := userFrom(ctx), g.Policies.Load()
	d := &decision{job: new, user: user.Name}
	if kept, allowed := policies.Keep(new, old, user); allowed {
		if isAudited(ctx) {
			d.granting = policies.Granting(new, old, user)
		}
		*new = *kept
		return d
	}
	newV1, oldV1 := &batchv1.Job{}, &batchv1.Job{}
	if d.err = convertAll(pair{new, newV1}, pair{old, oldV1}); d.err != nil {
		return d
	}
	d.verdict = policies.Judge(newV1, oldV1, user, g.NamespaceLabels(ctx, old.Namespace))
	if len(d.verdict.Refused()) > 0 {
		return d
	}
	judged := &batch.Job{}
	if d.err = convertAll(pair{d.verdict.Job, judged}); d.err == nil {
		*new = *fieldpolicy.Settle(judged, new, old)
	}
	return d
}

type pair struct{ in, out any }

func convertAll(pairs ...pair) error {
	for _, p := range pairs {
		if err := legacyscheme.Scheme.Convert(p.in, p.out, nil); err != nil {
			return fmt.Errorf("comparing the Job with the stored one: %w", err)
		}
	}
	return nil
}

func userFrom(ctx context.Context) fieldpolicy.User {
	user, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return fieldpolicy.User{}
	}
	return fieldpolicy.User{Name: user.GetName(), Groups: user.GetGroups()}
}
