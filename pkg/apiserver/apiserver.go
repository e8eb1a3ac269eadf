// Package apiserver assembles the server: the generic API server of k8s.io/apiserver with
// the API groups this project serves. It is the only package that knows all of them.
package apiserver

import (
	genericapiserver "k8s.io/apiserver/pkg/server"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install" // the scale and pod types below need
	_ "k8s.io/kubernetes/pkg/apis/batch/install"       // the served group
	_ "k8s.io/kubernetes/pkg/apis/core/install"        // pod templates, and the types of options

	batchrest "github.com/batchgate/batchgate/pkg/registry/batch/rest"
)

// Config is what a Server is made from.
type Config struct {
	Generic *genericapiserver.RecommendedConfig
	Batch   batchrest.StorageProvider
}

type completedConfig struct {
	generic genericapiserver.CompletedConfig
	batch   batchrest.StorageProvider
}

// CompletedConfig can only be made by Complete.
type CompletedConfig struct {
	*completedConfig
}

// Complete fills in what follows from the rest. It does no I/O.
func (c *Config) Complete() CompletedConfig {
	return CompletedConfig{&completedConfig{generic: c.Generic.Complete(), batch: c.Batch}}
}

// New returns the server, with its groups installed and not yet running.
func (c CompletedConfig) New() (*genericapiserver.GenericAPIServer, error) {
	server, err := c.generic.New("batchgate-apiserver", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	group, err := c.batch.NewRESTStorage(c.generic.RESTOptionsGetter)
	if err != nil {
		return nil, err
	}
	if err := server.InstallAPIGroup(&group); err != nil {
		return nil, err
	}
	return server, nil
}
