package takeover

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// ServingSecret has the serving certificate, where Batchgate runs as artifacts/base says.
	ServingSecret = "batchgate-serving"
	// caKey is where such a Secret has the CA.
	caKey = "ca.crt"
)

// injectAnnotations are those by which cert-manager's cainjector keeps the CA of an APIService.
// It writes it without a look at whether the APIService has a service.
var injectAnnotations = []string{"cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret"}

// injection returns those that are set, nil for none.
func injection(annotations map[string]string) map[string]string {
	var found map[string]string
	for _, key := range injectAnnotations {
		if value, ok := annotations[key]; ok {
			if found == nil {
				found = map[string]string{}
			}
			found[key] = value
		}
	}
	return found
}

// includes reports whether all of wanted is in have.
func includes(have, wanted map[string]string) bool {
	for key, value := range wanted {
		if have[key] != value {
			return false
		}
	}
	return true
}

// injected returns the annotations by which cert-manager keeps the CA in the APIService of the
// policies, which is there before v1.batch is taken over.
func (c *Cluster) injected(ctx context.Context, service Service) (map[string]string, error) {
	registrations, err := c.Registrations(ctx, service)
	if err != nil {
		return nil, err
	}
	for _, r := range registrations {
		if r.Name == PoliciesAPIService {
			return r.Injected, nil
		}
	}
	return nil, nil
}

// Registration is an APIService that names the Service of Batchgate.
type Registration struct {
	Name string
	Serving
}

// Registrations returns the APIServices that name the Service, whatever its port: that of the
// policies, if there is one, and v1.batch, if it is taken over.
func (c *Cluster) Registrations(ctx context.Context, service Service) ([]Registration, error) {
	var found []Registration
	for _, name := range []string{PoliciesAPIService, BatchAPIService} {
		obj, err := c.Dynamic.Resource(apiServices).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading APIService %s: %w", name, err)
		}
		serving, err := servingFrom(obj)
		if err != nil {
			return nil, err
		}
		if s := serving.Service; s != nil && s.Namespace == service.Namespace && s.Name == service.Name {
			found = append(found, Registration{Name: name, Serving: *serving})
		}
	}
	return found, nil
}

// SetCABundle gives the APIService another CA, if it is still as it was read, and returns what
// it is then. The error is a conflict where it is not.
func (c *Cluster) SetCABundle(ctx context.Context, r Registration, caBundle []byte) (Registration, error) {
	obj, err := c.patch(ctx, r.Name, map[string]any{
		"metadata": map[string]any{"resourceVersion": r.resourceVersion},
		"spec":     map[string]any{"caBundle": base64.StdEncoding.EncodeToString(caBundle)},
	})
	if err != nil {
		return r, fmt.Errorf("patching APIService %s: %w", r.Name, err)
	}
	serving, err := servingFrom(obj)
	if err != nil {
		return r, err
	}
	return Registration{Name: r.Name, Serving: *serving}, nil
}

// CheckReplicas connects to all replicas of the Service, ready or not, and returns how many
// there are. It is an error where one shows a certificate that the CA does not verify, or
// where there are none.
func (c *Cluster) CheckReplicas(ctx context.Context, service Service, caBundle []byte) (int, error) {
	endpoints, err := c.endpoints(ctx, service)
	if err != nil {
		return 0, err
	}
	if len(endpoints) == 0 {
		return 0, errors.New("no replica is found to ask")
	}
	for _, e := range endpoints {
		if e.pod == "" {
			return 0, fmt.Errorf("Service %s has an endpoint that is no Pod, which cannot be asked", service)
		}
		if err := c.checkReplica(ctx, service, e, caBundle); err != nil {
			return 0, err
		}
	}
	return len(endpoints), nil
}

func (c *Cluster) checkReplica(ctx context.Context, service Service, e endpoint, caBundle []byte) error {
	forward, err := c.forwardPod(ctx, service.Namespace, e.pod, e.port)
	if err != nil {
		return err
	}
	defer forward.Close()
	_, err = c.Connect(ctx, forward.Address, service, caBundle)
	return err
}
