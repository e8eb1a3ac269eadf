// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"bytes"
	"testing"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // imported by pkg/apiserver in production
	_ "k8s.io/kubernetes/pkg/apis/core/install"  // types in batch
)

// Both servers see the same Jobs only if the layout is the same.
func TestApplyTo_KubeAPIServerLayout(t *testing.T) {
	for name, tc := range map[string]struct {
		args        []string
		wantPrefix  string
		wantContent string
	}{
		"defaults":      {nil, "/registry", "k8s\x00"},
		"custom prefix": {[]string{"--etcd-prefix=/other"}, "/other", "k8s\x00"},
		"JSON":          {[]string{"--storage-media-type=application/json"}, "/registry", `{"`},
	} {
		t.Run(name, func(t *testing.T) {
			config := newGenericConfig(t, append(tc.args, "--etcd-servers=http://192.0.2.1:2379"))
			for resource, example := range map[string]runtime.Object{"jobs": &batch.Job{}, "cronjobs": &batch.CronJob{}} {
				options, err := config.RESTOptionsGetter.GetRESTOptions(batch.Resource(resource), example)
				if err != nil {
					t.Fatal(err)
				}
				if options.ResourcePrefix != resource || options.StorageConfig.Prefix != tc.wantPrefix {
					t.Errorf("%s are stored under %s/%s, want %s/%s", resource, options.StorageConfig.Prefix, options.ResourcePrefix, tc.wantPrefix, resource)
				}
				encoded, err := runtime.Encode(options.StorageConfig.Codec, example)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.HasPrefix(encoded, []byte(tc.wantContent)) || !bytes.Contains(encoded, []byte("batch/v1")) {
					t.Errorf("%s are stored as %q", resource, encoded)
				}
			}
		})
	}
}

// newGenericConfig applies etcd flags to a new configuration.
func newGenericConfig(t *testing.T, args []string) *genericapiserver.Config {
	t.Helper()
	o := NewOptions()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	o.SkipHealthEndpoints = true // They would keep trying to connect to etcd.
	serverRun := genericoptions.NewServerRunOptions()
	if err := serverRun.ComponentGlobalsRegistry.Set(); err != nil {
		t.Fatal(err)
	}
	config := genericapiserver.NewRecommendedConfig(legacyscheme.Codecs)
	if err := serverRun.ApplyTo(&config.Config); err != nil {
		t.Fatal(err)
	}
	if err := ApplyTo(&config.Config, o); err != nil {
		t.Fatal(err)
	}
	return &config.Config
}
