// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command image writes an archive of a container image with one program in /bin, for the tests on real
// nodes. The flag -links adds symbolic links to the program.
//
//	image -name NAME:TAG [-entrypoint PROGRAM,ARG...] [-links NAME,...] PROGRAM ARCHIVE
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	image := flag.String("name", "", "name and tag of the image")
	entrypoint := flag.String("entrypoint", "", "entrypoint, comma-separated")
	links := flag.String("links", "", "names of symbolic links to the program, comma-separated")
	flag.Parse()
	if err := run(*image, split(*entrypoint), split(*links), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

func run(image string, entrypoint, links, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: image -name NAME:TAG [-entrypoint PROGRAM,ARG...] [-links NAME,...] PROGRAM ARCHIVE")
	}
	tag, err := name.NewTag(image)
	if err != nil {
		return err
	}
	content, err := layer(args[0], links)
	if err != nil {
		return err
	}
	packed, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		return err
	}
	built, err := mutate.AppendLayers(empty.Image, packed)
	if err != nil {
		return err
	}
	config, err := built.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = runtime.GOOS, runtime.GOARCH
	config.Config = v1.Config{Entrypoint: entrypoint, Env: []string{"PATH=/bin"}}
	if built, err = mutate.ConfigFile(built, config); err != nil {
		return err
	}
	return tarball.WriteToFile(args[1], tag, built)
}

// layer returns a tar archive with the program and its links, and an empty /tmp.
func layer(file string, links []string) ([]byte, error) {
	program, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	base := filepath.Base(file)
	for _, header := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777},
		{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: path.Join("bin", base), Mode: 0o755, Size: int64(len(program))},
	} {
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	for _, link := range links {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: path.Join("bin", link), Linkname: base, Mode: 0o777}); err != nil {
			return nil, err
		}
	}
	return archive.Bytes(), w.Close()
}
