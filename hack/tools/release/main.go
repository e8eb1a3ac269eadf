// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command release writes the server's image for several platforms into a directory, as an OCI
// image layout. The same binaries and flags give the same files. It is a separate module, so that
// nothing else depends on container libraries.
//
//	release -name NAME:TAG -version VERSION -revision COMMIT -created SECONDS DIRECTORY PLATFORM=BINARY...
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Keep these and labels in line with the Dockerfile.
const (
	binaryName = "batchgate-apiserver"
	user       = "65532:65532"
)

type options struct {
	name, version, revision string
	created                 int64
}

func main() {
	var o options
	flag.StringVar(&o.name, "name", "", "name and tag of the image")
	flag.StringVar(&o.version, "version", "", "version of the server")
	flag.StringVar(&o.revision, "revision", "", "commit that the server was built from")
	flag.Int64Var(&o.created, "created", 0, "time of the commit, in seconds")
	flag.Parse()
	if err := o.run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func (o *options) run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: release [FLAGS] DIRECTORY PLATFORM=BINARY")
	}
	tag, err := name.NewTag(o.name, name.StrictValidation)
	if err != nil {
		return err
	}
	index, err := o.index(args[1:])
	if err != nil {
		return err
	}
	path, err := layout.Write(args[0], empty.Index)
	if err != nil {
		return err
	}
	// containerd names an imported image by the first annotation, other tools by the second.
	return path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          tag.Name(),
		"org.opencontainers.image.ref.name": tag.TagStr(),
	}))
}

// index returns an image index with an image for each argument of the form PLATFORM=BINARY.
func (o *options) index(args []string) (v1.ImageIndex, error) {
	var index v1.ImageIndex = empty.Index
	for _, arg := range args {
		platformName, file, _ := strings.Cut(arg, "=")
		platform, err := v1.ParsePlatform(platformName)
		if err != nil {
			return nil, err
		}
		image, err := o.image(platform, file)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", platformName, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return mutate.Annotations(index, o.labels()).(v1.ImageIndex), nil
}

// image returns an image that contains only the binary.
func (o *options) image(platform *v1.Platform, file string) (v1.Image, error) {
	layer, err := o.layer(file)
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: time.Unix(o.created, 0).UTC()}
	image, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: created, CreatedBy: "COPY " + binaryName + " /"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = platform.OS, platform.Architecture, created
	config.Config = v1.Config{User: user, Entrypoint: []string{"/" + binaryName}, Labels: o.labels()}
	image, err = mutate.ConfigFile(image, config)
	return mutate.ConfigMediaType(image, types.OCIConfigJSON), err
}

func (o *options) layer(file string) (v1.Layer, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: binaryName, Mode: 0o755, Size: int64(len(content)), ModTime: time.Unix(o.created, 0)}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}

func (o *options) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       binaryName,
		"org.opencontainers.image.description": "Serves batch/v1 of Kubernetes with gated updates of Jobs",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.source":      "https://github.com/batchgate/batchgate",
		"org.opencontainers.image.version":     o.version,
		"org.opencontainers.image.revision":    o.revision,
	}
}
