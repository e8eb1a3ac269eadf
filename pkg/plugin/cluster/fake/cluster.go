// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregatorfake "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/fake"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	policyfake "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/fake"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// UID identifies the simulated cluster.
const UID = "cluster-uid"

// Service is the Service of the simulated Batchgate.
var Service = cluster.Service{Namespace: policy.Namespace, Name: policy.ServiceName, Port: 443}

// Cluster is a simulated cluster. It starts with kube-apiserver serving batch/v1, and a
// registered Service of Batchgate with one ready Pod.
type Cluster struct {
	*cluster.Cluster
	// KubeAPIServer and Batchgate are the servers.
	KubeAPIServer, Batchgate *Server
	// Aggregator and PolicyClient hold the APIServices and the policies.
	Aggregator   *aggregatorfake.Clientset
	PolicyClient *policyfake.Clientset

	// Before and After are called around each request, with a description of it. Their errors
	// replace the response. After is called once the request has taken effect. They may send
	// requests themselves, and are then called for these.
	Before, After func(request string) error
	// Persist, if set, stores a ValidatingAdmissionPolicyBinding in etcd, or deletes it if obj is nil,
	// and returns its new resource version.
	Persist func(name string, obj runtime.Object) string
	// Denied lists permissions that the user lacks, as "verb resource".
	Denied map[string]bool
	// Blocked makes kube-apiserver wait for v1.batch to become available, as it does when it
	// starts while Batchgate is down.
	Blocked bool
	// BlindControllers makes the Job controller and the garbage collector ignore new Jobs.
	BlindControllers bool
	// Certificate is Batchgate's serving certificate.
	Certificate *x509.Certificate

	mu              sync.Mutex
	resourceVersion int64
	// inDiscovery is set once kube-apiserver asks Batchgate for its part of discovery.
	inDiscovery bool
}

// New returns a cluster whose servers keep Jobs in the storages. They are the same for a shared
// etcd.
func New(kubeStorage, batchgateStorage Storage) *Cluster {
	c := &Cluster{
		Denied:      map[string]bool{},
		Certificate: &x509.Certificate{NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: UID}}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: Service.Namespace, Name: Service.Name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: Service.Port}}},
	}
	endpoints := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: Service.Namespace, Name: "batchgate", Labels: map[string]string{discoveryv1.LabelServiceName: Service.Name}},
		Endpoints:  []discoveryv1.Endpoint{{TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "batchgate-0"}}},
		Ports:      []discoveryv1.EndpointPort{{Port: ptr.To[int32](8443)}},
	}
	c.KubeAPIServer = c.newServer("kube-apiserver", kubeStorage, namespace, service, endpoints)
	c.Batchgate = c.newServer("Batchgate", batchgateStorage)
	c.Aggregator = aggregatorfake.NewSimpleClientset(
		&apiregistrationv1.APIService{
			ObjectMeta: metav1.ObjectMeta{Name: policy.BatchAPIService, ResourceVersion: "1", Labels: map[string]string{policy.AutoManagedLabel: policy.AutoManagedOnStart}},
			Spec:       apiregistrationv1.APIServiceSpec{Group: batchv1.GroupName, Version: "v1", GroupPriorityMinimum: 17400, VersionPriority: 15},
		},
		&apiregistrationv1.APIService{
			ObjectMeta: metav1.ObjectMeta{Name: policy.PolicyAPIService, ResourceVersion: "2"},
			Spec: apiregistrationv1.APIServiceSpec{
				Group: policy.GroupName, Version: "v1alpha1", CABundle: []byte("ca"),
				Service: &apiregistrationv1.ServiceReference{Namespace: Service.Namespace, Name: Service.Name, Port: ptr.To(Service.Port)},
			},
		},
	)
	c.PolicyClient = policyfake.NewSimpleClientset()
	c.resourceVersion = 10
	c.react(&c.Aggregator.Fake, c.Aggregator.Tracker(), "kube-apiserver", c.serveAPIServices)
	c.react(&c.PolicyClient.Fake, c.PolicyClient.Tracker(), "kube-apiserver", nil)
	c.Cluster = &cluster.Cluster{
		Kube: c.KubeAPIServer, APIServices: c.Aggregator, Policies: c.PolicyClient,
		NewConnection: func() (cluster.Server, func(), error) { return c.KubeAPIServer, func() {}, nil },
		ConnectTo:     func(string) (cluster.Server, func(), error) { return c.KubeAPIServer, func() {}, nil },
		Timing: cluster.Timing{
			Poll: time.Millisecond, Settle: 3 * time.Millisecond, Absence: time.Millisecond,
			Discovery: 5 * time.Second, Switch: 5 * time.Second,
		},
	}
	return c
}

// Connection returns Batchgate as the plugin's operations use it.
func (c *Cluster) Connection() *cluster.Batchgate {
	return &cluster.Batchgate{Service: Service, CABundle: []byte("ca"), Dial: c.Dial}
}

// Dial connects to Batchgate.
func (c *Cluster) Dial(context.Context) (*cluster.Direct, error) {
	if c.Batchgate.Down {
		return nil, errors.New("connecting to Batchgate: connection refused")
	}
	return &cluster.Direct{Server: c.Batchgate, Certificate: c.Certificate}, nil
}

func (c *Cluster) newServer(name string, storage Storage, objects ...runtime.Object) *Server {
	s := &Server{
		Clientset: kubefake.NewSimpleClientset(objects...), cluster: c, name: name, Storage: storage, Ready: true,
		FeatureGates: map[string]bool{"JobManagedBy": true, "WatchList": true},
		Fields:       map[string][]string{"io.k8s.api.batch.v1.JobSpec": {"parallelism", "template"}, "io.k8s.api.core.v1.PodSpec": {"containers"}},
		Paths:        []string{"/apis/batch/v1/jobs", "/apis/batch/v1/cronjobs", "/api/v1/pods"},
	}
	c.react(&s.Clientset.Fake, s.Clientset.Tracker(), name, s.serve)
	discovery := s.Clientset.Discovery().(*fakediscovery.FakeDiscovery)
	discovery.FakedServerVersion = &version.Info{Major: "1", Minor: "37", GitVersion: "v1.37.2"}
	s.Resources = []*metav1.APIResourceList{{
		GroupVersion: "batch/v1",
		APIResources: []metav1.APIResource{{Name: "jobs", Verbs: metav1.Verbs{"get", "list"}}, {Name: "cronjobs", Verbs: metav1.Verbs{"get", "list"}}},
	}}
	return s
}

// SetVersion changes the version that the server reports. The server emulates the same version.
func (s *Server) SetVersion(gitVersion string) {
	s.SetVersionInfo(version.Info{GitVersion: gitVersion})
}

// SetVersionInfo changes what the server reports about its version.
func (s *Server) SetVersionInfo(info version.Info) {
	s.Clientset.Discovery().(*fakediscovery.FakeDiscovery).FakedServerVersion = &info
}

// Request runs serve between Before and After.
func (c *Cluster) Request(description string, serve func() error) error {
	if c.Before != nil {
		if err := c.Before(description); err != nil {
			return err
		}
	}
	err := serve()
	if c.After != nil {
		if lost := c.After(description); lost != nil {
			return lost
		}
	}
	return err
}

// react makes a fake clientset respond with special or, if special does not handle the action, with
// its tracker.
func (c *Cluster) react(f *clienttesting.Fake, tracker clienttesting.ObjectTracker, server string, special clienttesting.ReactionFunc) {
	f.PrependReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		// The clientset is locked here. Unlock it, because Before and After may use it.
		f.Unlock()
		defer f.Lock()
		var obj runtime.Object
		err := c.Request(describe(server, action), func() error {
			f.Lock()
			defer f.Unlock()
			if special != nil {
				handled, result, err := special(action)
				if handled {
					obj = result
					return err
				}
			}
			var err error
			obj, err = c.track(tracker, action)
			return err
		})
		if err != nil {
			return true, nil, err
		}
		return true, obj, nil
	})
}

// describe returns the server, verb, resource and name. The verb of a patch that only changes the
// resource version is "fence", and the verb of a creation without effect is "dry-run".
func describe(server string, action clienttesting.Action) string {
	verb, name := action.GetVerb(), ""
	switch a := action.(type) {
	case clienttesting.GetActionImpl:
		name = a.Name
	case clienttesting.PatchActionImpl:
		name = a.Name
		if bytes.Contains(a.Patch, []byte(`"annotations":{"`+policy.OperationAnnotation+`"`)) {
			verb = "fence"
		}
	case clienttesting.DeleteActionImpl:
		name = a.Name
	case clienttesting.CreateActionImpl:
		if len(a.CreateOptions.DryRun) > 0 {
			verb = "dry-run"
		}
		if obj, ok := a.Object.(metav1.Object); ok {
			name = obj.GetName()
		}
	case clienttesting.UpdateActionImpl:
		if obj, ok := a.Object.(metav1.Object); ok {
			name = obj.GetName()
		}
	}
	return fmt.Sprintf("%s %s %s %s", server, verb, action.GetResource().Resource, name)
}

// review evaluates a SelfSubjectAccessReview.
func (c *Cluster) review(review *authorizationv1.SelfSubjectAccessReview) *authorizationv1.SelfSubjectAccessReview {
	result := review.DeepCopy()
	a := review.Spec.ResourceAttributes
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	result.Status.Allowed = !c.Denied[a.Verb+" "+resource]
	return result
}

// nextVersion returns a new resource version.
func (c *Cluster) nextVersion() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resourceVersion++
	return fmt.Sprint(c.resourceVersion)
}

func (c *Cluster) newUID() types.UID { return types.UID("uid-" + c.nextVersion()) }
