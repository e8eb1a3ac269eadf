package options

import (
	"bytes"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// kube-apiserver's own layout: both servers find each other's Jobs only if it is the same.
func TestJobsAreStoredWhereAndAsKubeAPIServerStoresThem(t *testing.T) {
	for _, tc := range []struct {
		args   []string
		prefix string
		magic  string
	}{
		{nil, "/registry", "k8s\x00"},
		{[]string{"--etcd-prefix=/other"}, "/other", "k8s\x00"},
		{[]string{"--storage-media-type=application/json"}, "/registry", `{"`},
	} {
		o := parse(t, append(tc.args, required...)...)
		o.Etcd.SkipHealthEndpoints = true // they would go on trying to reach an etcd
		if err := o.Complete(); err != nil {
			t.Fatal(err)
		}
		config := genericapiserver.NewRecommendedConfig(legacyscheme.Codecs)
		if err := o.ServerRun.ApplyTo(&config.Config); err != nil {
			t.Fatal(err)
		}
		if err := o.applyStorage(&config.Config); err != nil {
			t.Fatal(err)
		}
		for resource, example := range map[string]runtime.Object{"jobs": &batch.Job{}, "cronjobs": &batch.CronJob{}} {
			options, err := config.RESTOptionsGetter.GetRESTOptions(batch.Resource(resource), example)
			if err != nil {
				t.Fatal(err)
			}
			if options.ResourcePrefix != resource || options.StorageConfig.Prefix != tc.prefix {
				t.Errorf("%q: %s are below %s/%s, want %s/%s", tc.args, resource, options.StorageConfig.Prefix, options.ResourcePrefix, tc.prefix, resource)
			}
			encoded, err := runtime.Encode(options.StorageConfig.Codec, example)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(encoded, []byte(tc.magic)) || !bytes.Contains(encoded, []byte("batch/v1")) {
				t.Errorf("%q: %s are stored as %q", tc.args, resource, encoded)
			}
		}
	}
}
