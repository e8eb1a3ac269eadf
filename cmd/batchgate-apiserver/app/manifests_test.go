// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/apiserver/options"
)

func TestDeploymentFlagsAreValid(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "artifacts", "base", "deployment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var deployment appsv1.Deployment
	if err := yaml.UnmarshalStrict(content, &deployment); err != nil {
		t.Fatal(err)
	}
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]
	var args []string
	for _, arg := range container.Args {
		arg = strings.ReplaceAll(arg, "$(ETCD_SERVERS)", "https://192.0.2.1:2379,https://192.0.2.2:2379")
		for _, env := range container.Env {
			if env.ValueFrom == nil {
				arg = strings.ReplaceAll(arg, "$("+env.Name+")", env.Value)
			}
		}
		if strings.Contains(arg, "$(") {
			t.Errorf("%s refers to an unknown variable", arg)
		}
		args = append(args, arg)
	}

	o := options.New()
	cmd := &cobra.Command{Use: "batchgate-apiserver"}
	addFlags(cmd, o.Flags())
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	if rest := cmd.Flags().Args(); len(rest) > 0 {
		t.Errorf("got arguments that are not flags: %q", rest)
	}
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
	if got := o.Etcd.StorageConfig.Transport.ServerList; len(got) != 2 {
		t.Errorf("got etcd servers %q, want 2", got)
	}
	if got := container.Ports[0].ContainerPort; int(got) != o.SecureServing.BindPort {
		t.Errorf("got container port %d, want %d", got, o.SecureServing.BindPort)
	}
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	if least := o.ServerRun.ShutdownDelayDuration + o.ServerRun.RequestTimeout; grace <= least {
		t.Errorf("got termination grace period %s, want more than %s, since the last request can take that long", grace, least)
	}
	for _, path := range []string{
		o.Etcd.StorageConfig.Transport.TrustedCAFile, o.Etcd.StorageConfig.Transport.CertFile, o.Etcd.StorageConfig.Transport.KeyFile,
		o.SecureServing.ServerCert.CertKey.CertFile, o.SecureServing.ServerCert.CertKey.KeyFile,
	} {
		mounted := false
		for _, mount := range container.VolumeMounts {
			mounted = mounted || filepath.Dir(path) == mount.MountPath
		}
		if !mounted {
			t.Errorf("no volume is mounted for %q", path)
		}
	}
}

// hack/verify-release.sh compares the manifests of a release with the same files.
func TestManifestsHaveNoUnknownFields(t *testing.T) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	root := filepath.Join("..", "..", "..")
	for _, file := range []string{
		"artifacts/overlays/shared-etcd/static-pod.yaml",
		"test/golden/base.yaml",
		"test/golden/batch-etcd.yaml",
		"test/golden/dedicated-etcd.yaml",
		"test/golden/shared-etcd.yaml",
		"test/golden/standalone.yaml",
	} {
		t.Run(file, func(t *testing.T) {
			content, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				t.Fatal(err)
			}
			for _, document := range strings.Split(string(content), "\n---\n") {
				if _, _, err := decoder.Decode([]byte(document), nil, nil); err != nil {
					t.Errorf("%v in:\n%s", err, document)
				}
			}
		})
	}
}
