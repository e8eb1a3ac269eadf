package options

import (
	"fmt"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ValidateCluster is Validate for a server that belongs to a cluster: it also names each
// kubeconfig that is missing or cannot be read. It reads files, and reaches no server.
func (o *Options) ValidateCluster() error {
	errs := []error{o.Validate()}
	if o.CoreAPI.CoreAPIKubeconfigPath == "" {
		if _, err := rest.InClusterConfig(); err != nil {
			errs = append(errs, fmt.Errorf("--kubeconfig is required outside of a cluster (%w); to run without a cluster, use the standalone command", err))
		}
	}
	for _, kubeconfig := range []struct{ flag, path string }{
		{"--kubeconfig", o.CoreAPI.CoreAPIKubeconfigPath},
		{"--authentication-kubeconfig", o.Authentication.RemoteKubeConfigFile},
		{"--authorization-kubeconfig", o.Authorization.RemoteKubeConfigFile},
	} {
		// Complete lets the others default to the first.
		if kubeconfig.path == "" || kubeconfig.flag != "--kubeconfig" && kubeconfig.path == o.CoreAPI.CoreAPIKubeconfigPath {
			continue
		}
		if _, err := clientcmd.BuildConfigFromFlags("", kubeconfig.path); err != nil {
			errs = append(errs, fmt.Errorf("reading %s: %w", kubeconfig.flag, err))
		}
	}
	return utilerrors.Flatten(utilerrors.NewAggregate(errs))
}
