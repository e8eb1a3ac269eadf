// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

const (
	// The priorities that kube-apiserver gives v1.batch. They determine the position of the group
	// in discovery.
	groupPriority, versionPriority = 17400, 15
	// readBackTimeout bounds reading an object after a write whose response was lost.
	readBackTimeout = 10 * time.Second
)

// conflictBackoff repeats a change for about 5 seconds.
var conflictBackoff = wait.Backoff{Steps: 100, Duration: 25 * time.Millisecond, Jitter: 1}

// Service is the Service of Batchgate.
type Service struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Port is the port of the Service, not of the Pods. 0 means 443.
	Port int32 `json:"port"`
}

// String returns namespace/name.
func (s Service) String() string { return s.Namespace + "/" + s.Name }

// EffectivePort returns the port with its default.
func (s Service) EffectivePort() int32 {
	if s.Port == 0 {
		return 443
	}
	return s.Port
}

// dnsName is the name that kube-apiserver verifies the serving certificate against.
func (s Service) dnsName() string { return s.Name + "." + s.Namespace + ".svc" }

// APIService is the part of an APIService that the plugin reads.
type APIService struct {
	Name string `json:"name"`
	// Service is nil if kube-apiserver serves the API itself.
	Service *Service `json:"service,omitempty"`
	// CABundle verifies the certificate of the Service. It is in PEM.
	CABundle []byte `json:"-"`
	// Available is the status of the condition Available: True, False or Unknown.
	Available string `json:"available"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
	// AutoManaged is set if kube-apiserver resets the APIService when it starts.
	AutoManaged bool `json:"autoManaged"`
	// DedicatedEtcd is set if the Jobs and CronJobs in the dedicated etcd are authoritative.
	DedicatedEtcd bool `json:"dedicatedEtcd"`
	// Importing is set while an import runs: kube-apiserver's objects are still authoritative.
	Importing bool `json:"importing"`
	// CertManager holds the annotations by which cert-manager maintains the CA bundle.
	CertManager map[string]string `json:"certManagerAnnotations,omitempty"`

	// etcd is the etcd annotation.
	etcd string
	// freeze is the freeze annotation. See VerifyFreezeThroughout.
	freeze          string
	resourceVersion string
	// fenced is set if the annotation of a Fence that was interrupted is still there.
	fenced bool
}

// Server names the server of the API.
func (a *APIService) Server() string {
	if a.Service == nil {
		return "kube-apiserver"
	}
	return a.Service.String()
}

// ServedBy reports whether the service, at that port, serves the API.
func (a *APIService) ServedBy(service Service) bool {
	return a.RefersTo(service) && a.Service.EffectivePort() == service.EffectivePort()
}

// RefersTo reports whether the service, at any port, serves the API.
func (a *APIService) RefersTo(service Service) bool {
	return a.Service != nil && a.Service.Namespace == service.Namespace && a.Service.Name == service.Name
}

func apiServiceFrom(obj *apiregistrationv1.APIService) *APIService {
	etcd := obj.Annotations[policy.EtcdAnnotation]
	a := &APIService{
		Name: obj.Name, CABundle: obj.Spec.CABundle, Available: string(metav1.ConditionUnknown),
		AutoManaged: obj.Labels[policy.AutoManagedLabel] != "",
		// An unknown value may mean that kube-apiserver's objects are outdated.
		DedicatedEtcd:   etcd != "" && etcd != policy.EtcdImporting,
		Importing:       etcd == policy.EtcdImporting,
		CertManager:     certManagerAnnotations(obj.Annotations),
		etcd:            etcd,
		freeze:          obj.Annotations[policy.FreezeAnnotation],
		resourceVersion: obj.ResourceVersion,
		fenced:          obj.Annotations[policy.OperationAnnotation] != "",
	}
	if s := obj.Spec.Service; s != nil {
		a.Service = &Service{Namespace: s.Namespace, Name: s.Name, Port: ptr.Deref(s.Port, 0)}
	}
	for _, c := range obj.Status.Conditions {
		if c.Type == apiregistrationv1.Available {
			a.Available, a.Reason, a.Message = string(c.Status), c.Reason, c.Message
		}
	}
	return a
}

// Native reports whether v1.batch is as kube-apiserver creates it: it points to kube-apiserver, and
// no operation has left an annotation.
func (a *APIService) Native() bool {
	return a.Service == nil && a.etcd == "" && a.freeze == "" && !a.fenced && a.AutoManaged
}

// BatchAPIService reads APIService v1.batch.
func (c *Cluster) BatchAPIService(ctx context.Context) (*APIService, error) {
	a, err := c.apiService(ctx, policy.BatchAPIService)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: %s recreates it", err, RollbackCommand)
	}
	return a, err
}

func (c *Cluster) apiService(ctx context.Context, name string) (*APIService, error) {
	obj, err := c.APIServices.ApiregistrationV1().APIServices().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading APIService %s: %w", name, err)
	}
	return apiServiceFrom(obj), nil
}

// Registrations returns the APIServices that refer to the Service, at any port: the policies'
// APIService, if it exists, and v1.batch, if it is taken over.
func (c *Cluster) Registrations(ctx context.Context, service Service) ([]*APIService, error) {
	var found []*APIService
	for _, name := range []string{policy.PolicyAPIService, policy.BatchAPIService} {
		a, err := c.apiService(ctx, name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if a.RefersTo(service) {
			found = append(found, a)
		}
	}
	return found, nil
}

// TakeOver points v1.batch to the Service of Batchgate and sets the annotations. It creates the
// object if before has no name. It returns a conflict if the object has changed since before was
// read. After an error other than ErrUnknown, the plugin has not changed the object.
func (c *Cluster) TakeOver(ctx context.Context, before *APIService, b *Batchgate, annotations map[string]string) error {
	if before.Name == "" {
		obj := newBatchAPIService()
		obj.Annotations = annotations
		obj.Spec.Service = &apiregistrationv1.ServiceReference{Namespace: b.Service.Namespace, Name: b.Service.Name, Port: ptr.To(b.Service.EffectivePort())}
		obj.Spec.CABundle = b.CABundle
		if err := c.createAPIService(ctx, obj); err != nil {
			return c.confirm(ctx, err, func(a *APIService) bool { return a.ServedBy(b.Service) })
		}
		return nil
	}
	return c.pointTo(ctx, before, b.Service, b.CABundle, annotations)
}

// Restore points v1.batch back to the server of before, and sets the etcd annotation. now is its
// current state. Restore returns a conflict if the object has changed since now was read.
func (c *Cluster) Restore(ctx context.Context, now, before *APIService, etcd string) error {
	return c.pointTo(ctx, now, *before.Service, before.CABundle, withEtcd(before.CertManager, etcd))
}

func (c *Cluster) pointTo(ctx context.Context, before *APIService, service Service, caBundle []byte, annotations map[string]string) error {
	_, err := c.patch(ctx, policy.BatchAPIService, takeoverPatch(service, caBundle, annotations, before.resourceVersion))
	if err == nil {
		return nil
	}
	if !apierrors.IsConflict(err) {
		return c.confirm(ctx, err, func(a *APIService) bool { return a.ServedBy(service) })
	}
	// client-go repeats a patch after some responses, such as 429. If the first patch was stored, the
	// second one conflicts with it.
	etcd, freeze := annotations[policy.EtcdAnnotation], annotations[policy.FreezeAnnotation]
	err = fmt.Errorf("APIService %s was changed by another client: %w", policy.BatchAPIService, err)
	return c.confirm(ctx, err, func(a *APIService) bool { return a.ServedBy(service) && a.etcd == etcd && a.freeze == freeze })
}

// RollBack makes kube-apiserver the server of v1.batch. It returns a conflict if the object has
// changed since before was read. After an error other than ErrUnknown, the plugin has not changed
// the object.
func (c *Cluster) RollBack(ctx context.Context, before *APIService) error {
	_, err := c.patch(ctx, policy.BatchAPIService, rollbackPatch(before.resourceVersion))
	if err == nil {
		return nil
	}
	return c.confirm(ctx, err, (*APIService).Native)
}

// ErrUnknown is returned if it is unknown whether a change was made.
var ErrUnknown = errors.New("it is unknown whether this changed anything")

// Rejected reports whether err says that the API server rejected the request and changed nothing.
// After other errors, such as a lost connection, the outcome is unknown.
func Rejected(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= 400 && status.Status().Code < 500
}

// confirm returns nil if v1.batch was changed although the request failed, because only the
// response was lost. Otherwise it returns the error of the request. It makes sure that a request
// that is still on its way changes nothing later. If it fails to do that, it returns ErrUnknown too.
func (c *Cluster) confirm(ctx context.Context, requestErr error, changed func(*APIService) bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTimeout)
	defer cancel()
	done := false
	err := RetryOnConflict(ctx, func() error {
		after, err := c.BatchAPIService(ctx)
		if err != nil {
			return err
		}
		if done = changed(after); done || Rejected(requestErr) {
			return nil
		}
		_, err = c.fence(ctx, after)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", requestErr, ErrUnknown)
	case done:
		return nil
	}
	return requestErr
}

// RetryOnConflict calls change, which reads v1.batch and changes it, until it returns something
// other than a conflict. The condition Available of v1.batch may change many times per second while
// the kube-apiservers disagree about it.
func RetryOnConflict(ctx context.Context, change func() error) error {
	return retry.OnError(conflictBackoff, func(err error) bool {
		return apierrors.IsConflict(err) && !errors.Is(err, ErrUnknown) && ctx.Err() == nil
	}, change)
}

// Fence changes the resource version of v1.batch, and returns the new state. Requests of the plugin
// that were prepared before then fail, because they would change or delete an earlier version.
func (c *Cluster) Fence(ctx context.Context) (*APIService, error) {
	var after *APIService
	err := RetryOnConflict(ctx, func() error {
		now, err := c.BatchAPIService(ctx)
		if err == nil {
			after, err = c.fence(ctx, now)
		}
		return err
	})
	return after, err
}

// fence changes the resource version of v1.batch. It sets an annotation and removes it again, since
// an update that changes nothing keeps the resource version. It returns a conflict if the object has
// changed since before was read.
func (c *Cluster) fence(ctx context.Context, before *APIService) (*APIService, error) {
	_, err := c.patch(ctx, policy.BatchAPIService, map[string]any{"metadata": map[string]any{
		"resourceVersion": before.resourceVersion,
		"annotations":     map[string]any{policy.OperationAnnotation: string(uuid.NewUUID())},
	}})
	if err != nil && Rejected(err) {
		return nil, err
	}
	// If only the response was lost, or the command is interrupted, the annotation must not stay.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTimeout)
	defer cancel()
	var obj *apiregistrationv1.APIService
	removeErr := retry.OnError(retry.DefaultBackoff, func(err error) bool { return !Rejected(err) }, func() (err error) {
		obj, err = c.patch(ctx, policy.BatchAPIService, map[string]any{"metadata": map[string]any{
			"annotations": map[string]any{policy.OperationAnnotation: nil},
		}})
		return err
	})
	if err := errors.Join(err, removeErr); err != nil {
		return nil, err
	}
	return apiServiceFrom(obj), nil
}

// CreateBatchAPIService creates v1.batch as kube-apiserver does.
func (c *Cluster) CreateBatchAPIService(ctx context.Context) error {
	obj := newBatchAPIService()
	obj.Labels = map[string]string{policy.AutoManagedLabel: policy.AutoManagedOnStart}
	return c.createAPIService(ctx, obj)
}

func newBatchAPIService() *apiregistrationv1.APIService {
	return &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: policy.BatchAPIService},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: "batch", Version: "v1", GroupPriorityMinimum: groupPriority, VersionPriority: versionPriority,
		},
	}
}

func (c *Cluster) createAPIService(ctx context.Context, obj *apiregistrationv1.APIService) error {
	if _, err := c.APIServices.ApiregistrationV1().APIServices().Create(ctx, obj, metav1.CreateOptions{FieldManager: policy.PluginFieldManager}); err != nil {
		return fmt.Errorf("creating APIService %s: %w", policy.BatchAPIService, err)
	}
	return nil
}

// SetEtcdAnnotation records on v1.batch which etcd is authoritative, and removes the freeze
// annotation. It returns a conflict if the object has changed since before was read.
func (c *Cluster) SetEtcdAnnotation(ctx context.Context, before *APIService, value string) error {
	_, err := c.patch(ctx, policy.BatchAPIService, map[string]any{
		"metadata": map[string]any{
			"resourceVersion": before.resourceVersion,
			"annotations":     map[string]any{policy.EtcdAnnotation: value, policy.FreezeAnnotation: nil},
		},
	})
	return err
}

// SetCABundle changes the CA bundle of an APIService and returns the new state. It returns a
// conflict if the object has changed since before was read.
func (c *Cluster) SetCABundle(ctx context.Context, before *APIService, caBundle []byte) (*APIService, error) {
	obj, err := c.patch(ctx, before.Name, map[string]any{
		"metadata": map[string]any{"resourceVersion": before.resourceVersion},
		"spec":     map[string]any{"caBundle": base64.StdEncoding.EncodeToString(caBundle)},
	})
	if err != nil {
		return nil, err
	}
	return apiServiceFrom(obj), nil
}

func (c *Cluster) patch(ctx context.Context, name string, patch map[string]any) (*apiregistrationv1.APIService, error) {
	body, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	obj, err := c.APIServices.ApiregistrationV1().APIServices().Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: policy.PluginFieldManager})
	if err != nil {
		return nil, fmt.Errorf("patching APIService %s: %w", name, err)
	}
	return obj, nil
}

// takeoverPatch returns the merge patch that points v1.batch to the service. It is a single
// patch, so that there is no moment without a server. The resource version makes it fail if
// another client has changed the object.
func takeoverPatch(service Service, caBundle []byte, annotations map[string]string, resourceVersion string) map[string]any {
	metadata := map[string]any{
		"resourceVersion": resourceVersion,
		"labels":          map[string]any{policy.AutoManagedLabel: nil},
	}
	if len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	return map[string]any{
		"metadata": metadata,
		"spec": map[string]any{
			"service":              map[string]any{"namespace": service.Namespace, "name": service.Name, "port": service.EffectivePort()},
			"caBundle":             base64.StdEncoding.EncodeToString(caBundle),
			"groupPriorityMinimum": groupPriority,
			"versionPriority":      versionPriority,
		},
	}
}

// rollbackPatch returns the merge patch that makes kube-apiserver the server of v1.batch. It
// removes cert-manager's annotations, since kube-apiserver rejects a CA bundle without a service.
// The resource version makes it fail if another client has changed the object.
func rollbackPatch(resourceVersion string) map[string]any {
	annotations := map[string]any{policy.EtcdAnnotation: nil, policy.FreezeAnnotation: nil, policy.OperationAnnotation: nil}
	for _, key := range injectAnnotations {
		annotations[key] = nil
	}
	return map[string]any{
		"metadata": map[string]any{
			"resourceVersion": resourceVersion,
			"labels":          map[string]any{policy.AutoManagedLabel: policy.AutoManagedOnStart},
			"annotations":     annotations,
		},
		"spec": map[string]any{
			"service": nil, "caBundle": nil, "insecureSkipTLSVerify": nil,
			"groupPriorityMinimum": groupPriority, "versionPriority": versionPriority,
		},
	}
}

// ServerChanged returns the error for a v1.batch that points to an unexpected server.
func ServerChanged(a *APIService) error {
	return errors.New(policy.BatchAPIService + " was pointed to " + a.Server() + " by another client")
}
