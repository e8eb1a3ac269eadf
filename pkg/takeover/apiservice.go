package takeover

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// BatchAPIService is the APIService that decides who serves batch/v1.
const BatchAPIService = "v1.batch"

var apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

const (
	// autoManaged is the label by which kube-apiserver sets an APIService back when it starts.
	autoManaged = "kube-aggregator.kubernetes.io/automanaged"
	// etcdAnnotation of v1.batch says that rolling back takes more than a patch.
	// It is importing until the Jobs of the own etcd are the ones that count.
	etcdAnnotation, ownEtcd, importingEtcd = "batchgate.io/etcd", "own", "importing"
	// These are kube-apiserver's own values for v1.batch: they decide where the group stands
	// in discovery.
	groupPriority, versionPriority = int64(17400), int64(15)
)

// Service is the Service of Batchgate.
type Service struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Port is that of the Service, not of the Pods. 0 is 443.
	Port int32 `json:"port"`
}

// String returns namespace/name.
func (s Service) String() string { return s.Namespace + "/" + s.Name }

func (s Service) port() int32 {
	if s.Port == 0 {
		return 443
	}
	return s.Port
}

// dnsName is what kube-apiserver verifies the serving certificate by.
func (s Service) dnsName() string { return s.Name + "." + s.Namespace + ".svc" }

// Serving says who serves batch/v1, as the APIService has it.
type Serving struct {
	// Service is that of the server, nil for kube-apiserver.
	Service *Service `json:"service,omitempty"`
	// CABundle is what its certificate is verified with, in PEM.
	CABundle []byte `json:"-"`
	// Available is the status of the condition of that name: True, False or Unknown.
	Available string `json:"available"`
	// Reason and Message are those of the condition.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// AutoManaged is set where kube-apiserver sets the APIService back when it starts.
	AutoManaged bool `json:"autoManaged"`
	// OwnEtcd is set where Jobs and CronJobs were moved to an etcd of Batchgate's own.
	OwnEtcd bool `json:"ownEtcd"`
	// Importing is set where they are being moved there: what kube-apiserver has still counts.
	Importing bool `json:"importing"`
	// Injected are the annotations by which cert-manager keeps the CABundle, if it does.
	Injected map[string]string `json:"injected,omitempty"`

	resourceVersion string
}

// Server names who serves.
func (s *Serving) Server() string {
	if s.Service == nil {
		return "kube-apiserver"
	}
	return s.Service.String()
}

// by reports whether the service serves.
func (s *Serving) by(service Service) bool {
	return s.Service != nil && s.Service.Namespace == service.Namespace && s.Service.Name == service.Name && s.Service.port() == service.port()
}

// Serving reads who serves batch/v1.
func (c *Cluster) Serving(ctx context.Context) (*Serving, error) {
	obj, err := c.Dynamic.Resource(apiServices).Get(ctx, BatchAPIService, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: %s makes it anew", err, rollbackCommand)
	}
	if err != nil {
		return nil, fmt.Errorf("reading APIService %s: %w", BatchAPIService, err)
	}
	return servingFrom(obj)
}

func servingFrom(obj *unstructured.Unstructured) (*Serving, error) {
	var apiService struct {
		Metadata metav1.ObjectMeta
		Spec     struct {
			CABundle []byte
			Service  *Service
		}
		Status struct{ Conditions []metav1.Condition }
	}
	content, err := obj.MarshalJSON()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, &apiService); err != nil {
		return nil, fmt.Errorf("reading APIService %s: %w", obj.GetName(), err)
	}
	s := &Serving{
		Service: apiService.Spec.Service, CABundle: apiService.Spec.CABundle, Available: string(metav1.ConditionUnknown),
		AutoManaged: apiService.Metadata.Labels[autoManaged] != "", OwnEtcd: apiService.Metadata.Annotations[etcdAnnotation] == ownEtcd,
		Importing:       apiService.Metadata.Annotations[etcdAnnotation] == importingEtcd,
		Injected:        injection(apiService.Metadata.Annotations),
		resourceVersion: apiService.Metadata.ResourceVersion,
	}
	for _, c := range apiService.Status.Conditions {
		if c.Type == "Available" {
			s.Available, s.Reason, s.Message = string(c.Status), c.Reason, c.Message
		}
	}
	return s, nil
}

// takeoverPatch returns the merge patch that gives v1.batch to the service. It is one patch, so
// that there is no moment at which nobody serves. The resource version keeps it from undoing
// what somebody else has just done.
func takeoverPatch(service Service, caBundle []byte, annotations map[string]string, resourceVersion string) map[string]any {
	metadata := map[string]any{
		"resourceVersion": resourceVersion,
		"labels":          map[string]any{autoManaged: nil},
	}
	if len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	return map[string]any{
		"metadata": metadata,
		"spec": map[string]any{
			"service":              map[string]any{"namespace": service.Namespace, "name": service.Name, "port": service.port()},
			"caBundle":             base64.StdEncoding.EncodeToString(caBundle),
			"groupPriorityMinimum": groupPriority,
			"versionPriority":      versionPriority,
		},
	}
}

// rollbackPatch returns the merge patch that gives v1.batch back to kube-apiserver. Without the
// annotations cert-manager does not go on to write a CA into it, which would be refused.
func rollbackPatch() map[string]any {
	annotations := map[string]any{etcdAnnotation: nil}
	for _, key := range injectAnnotations {
		annotations[key] = nil
	}
	return map[string]any{
		"metadata": map[string]any{"labels": map[string]any{autoManaged: "onstart"}, "annotations": annotations},
		"spec": map[string]any{
			"service": nil, "caBundle": nil, "insecureSkipTLSVerify": nil,
			"groupPriorityMinimum": groupPriority, "versionPriority": versionPriority,
		},
	}
}

func (c *Cluster) patch(ctx context.Context, name string, patch map[string]any) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	return c.Dynamic.Resource(apiServices).Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: "kubectl-batchgate"})
}

// create makes the APIService with what a patch sets in it.
func (c *Cluster) create(ctx context.Context, patch map[string]any) error {
	obj := &unstructured.Unstructured{Object: patch}
	obj.SetAPIVersion(apiServices.GroupVersion().String())
	obj.SetKind("APIService")
	obj.SetName(BatchAPIService)
	obj.SetAnnotations(nil) // there are none to remove
	for field, value := range map[string]any{"group": "batch", "version": "v1"} {
		if err := unstructured.SetNestedField(obj.Object, value, "spec", field); err != nil {
			return err
		}
	}
	_, err := c.Dynamic.Resource(apiServices).Create(ctx, obj, metav1.CreateOptions{FieldManager: "kubectl-batchgate"})
	return err
}
