// Package apiserver assembles the server: the generic API server of k8s.io/apiserver with
// the API groups this project serves. It is the only package that knows all of them.
package apiserver

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/registry/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install" // the scale and pod types below need
	_ "k8s.io/kubernetes/pkg/apis/batch/install"       // a served group
	_ "k8s.io/kubernetes/pkg/apis/core/install"        // pod templates, and the types of options

	_ "github.com/batchgate/batchgate/pkg/apis/policy/install" // a served group
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/registry/batch/job"
	jobstorage "github.com/batchgate/batchgate/pkg/registry/batch/job/storage"
	batchrest "github.com/batchgate/batchgate/pkg/registry/batch/rest"
	policyrest "github.com/batchgate/batchgate/pkg/registry/policy/rest"
)

// Config is what a Server is made from.
type Config struct {
	Generic *genericapiserver.RecommendedConfig
	// ServeSelfLink fills metadata.selfLink in answers about one Job.
	ServeSelfLink bool
	// NamespaceLabels returns the labels of a namespace, nil where they are not known. They are
	// what the namespaceSelectors of policies are about.
	NamespaceLabels func(ctx context.Context, namespace string) labels.Set
}

type completedConfig struct {
	generic genericapiserver.CompletedConfig
	batch   batchrest.StorageProvider
	// policies are those in force: the controller stores them, the gate reads them.
	policies *fieldpolicy.Source
}

// CompletedConfig can only be made by Complete.
type CompletedConfig struct {
	*completedConfig
}

// Complete fills in what follows from the rest. It does no I/O.
func (c *Config) Complete() CompletedConfig {
	policies := &fieldpolicy.Source{}
	gate := &job.Gate{Policies: policies, NamespaceLabels: c.NamespaceLabels}
	return CompletedConfig{&completedConfig{
		generic:  c.Generic.Complete(),
		batch:    batchrest.StorageProvider{Job: jobstorage.Options{ServeSelfLink: c.ServeSelfLink, Gate: gate}},
		policies: policies,
	}}
}

// New returns the server, with its groups installed and not yet running.
func (c CompletedConfig) New() (*genericapiserver.GenericAPIServer, error) {
	server, err := c.generic.New("batchgate-apiserver", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	for _, newStorage := range []func(generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error){
		c.batch.NewRESTStorage, policyrest.NewRESTStorage,
	} {
		group, err := newStorage(c.generic.RESTOptionsGetter)
		if err != nil {
			return nil, err
		}
		if err := server.InstallAPIGroup(&group); err != nil {
			return nil, err
		}
	}
	// Ready is a server whose watch caches are full: until then they answer lists and watches with
	// 429. kube-apiserver adds the same hook.
	if err := server.AddPostStartHook("storage-readiness", server.StorageReadinessHook.Hook); err != nil {
		return nil, err
	}
	return server, c.addPolicyController(server)
}

// addPolicyController makes the server start the controller that puts policies into force,
// and be ready once it has.
func (c CompletedConfig) addPolicyController(server *genericapiserver.GenericAPIServer) error {
	controller, err := jobupdatepolicy.New(server.LoopbackClientConfig, c.policies)
	if err != nil {
		return err
	}
	if err := server.AddReadyzChecks(healthz.NamedCheck("job-update-policies", controller.Check)); err != nil {
		return err
	}
	return server.AddPostStartHook("batchgate-policies", func(hook genericapiserver.PostStartHookContext) error {
		go controller.Run(hook)
		return nil
	})
}
