// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

var kinds = map[string]struct {
	kind schema.GroupVersionKind
	list func() runtime.Object
}{
	"jobs":     {batchv1.SchemeGroupVersion.WithKind("Job"), func() runtime.Object { return &batchv1.JobList{} }},
	"cronjobs": {batchv1.SchemeGroupVersion.WithKind("CronJob"), func() runtime.Object { return &batchv1.CronJobList{} }},
}

var (
	// encoder writes the stored form of an API server.
	encoder = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	// decoder fails at unknown fields, which a copy would lack.
	decoder = kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, kjson.SerializerOptions{Strict: true})
)

// checksum identifies the stored form of an object.
type checksum = [sha256.Size]byte

// record is an object in its stored form.
type record struct {
	// id is resource/namespace/name.
	id    string
	value []byte
}

// encode returns the stored form of an object: protobuf, without the resource version, which etcd
// keeps.
func encode(resource string, obj runtime.Object) (record, error) {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return record{}, err
	}
	accessor.SetResourceVersion("")
	accessor.SetSelfLink("")
	obj.GetObjectKind().SetGroupVersionKind(kinds[resource].kind)
	var value bytes.Buffer
	if err := encoder.Encode(obj, &value); err != nil {
		return record{}, err
	}
	return record{strings.Join([]string{resource, accessor.GetNamespace(), accessor.GetName()}, "/"), value.Bytes()}, nil
}

// read calls each with pages of all objects of a server. Writes must be frozen: if etcd no longer has
// the revision of the first page, the next pages are of a newer one.
func read(ctx context.Context, s cluster.Server, each func([]record) error) error {
	for _, resource := range cluster.BatchResources {
		for token := ""; ; {
			list, err := readPage(ctx, s, resource, token)
			if next := nextAtNewRevision(err); next != "" {
				list, err = readPage(ctx, s, resource, next)
			}
			if err != nil {
				return err
			}
			var records []record
			err = meta.EachListItem(list, func(obj runtime.Object) error {
				r, err := encode(resource, obj)
				records = append(records, r)
				return err
			})
			if err != nil {
				return fmt.Errorf("reading %s: %w", resource, err)
			}
			if err := each(records); err != nil {
				return err
			}
			accessor, err := meta.ListAccessor(list)
			if err != nil {
				return err
			}
			if token = accessor.GetContinue(); token == "" {
				break
			}
		}
	}
	return nil
}

func readPage(ctx context.Context, s cluster.Server, resource, token string) (runtime.Object, error) {
	query := url.Values{"limit": {strconv.Itoa(cluster.PageSize)}}
	if token != "" {
		query.Set("continue", token)
	}
	content, err := s.Read(ctx, cluster.BatchPath(resource), cluster.ReadOptions{Accept: "application/json", Query: query})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", resource, err)
	}
	list := kinds[resource].list()
	if _, _, err := decoder.Decode(content, nil, list); err != nil {
		return nil, fmt.Errorf("%s cannot be read, or have fields that this version of the plugin does not know: %w: use the plugin of the cluster's minor version", resource, err)
	}
	return list, nil
}

// nextAtNewRevision returns the token in an error for a revision that etcd no longer has. With it a list
// continues after the last page, at the latest revision. It is empty for other errors.
func nextAtNewRevision(err error) string {
	var status apierrors.APIStatus
	if !apierrors.IsResourceExpired(err) || !errors.As(err, &status) {
		return ""
	}
	return status.Status().Continue
}

// serverChecksums returns the checksums of all objects of a server, by id.
func serverChecksums(ctx context.Context, s cluster.Server) (map[string]checksum, error) {
	found := map[string]checksum{}
	err := read(ctx, s, func(records []record) error {
		for _, r := range records {
			found[r.id] = sha256.Sum256(r.value)
		}
		return nil
	})
	return found, err
}

// copyTo replaces the objects in the store with the objects of a server, and returns their checksums.
func copyTo(ctx context.Context, s cluster.Server, store *Store, progress func(string)) (map[string]checksum, error) {
	stale, err := store.checksums(ctx)
	if err != nil {
		return nil, err
	}
	copied := map[string]checksum{}
	err = read(ctx, s, func(records []record) error {
		var changed []record
		for _, r := range records {
			copied[r.id] = sha256.Sum256(r.value)
			if stale[r.id] != copied[r.id] {
				changed = append(changed, r)
			}
		}
		progress(fmt.Sprintf("copying: %d Jobs and CronJobs", len(copied)))
		return store.write(ctx, changed)
	})
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(stale, func(id string, _ checksum) bool { _, found := copied[id]; return found })
	return copied, store.remove(ctx, slices.Collect(maps.Keys(stale)))
}

// verifyCopied fails if the objects of a server differ from the copied ones.
func verifyCopied(ctx context.Context, s cluster.Server, copied map[string]checksum) (string, error) {
	found, err := serverChecksums(ctx, s)
	if err != nil {
		return "", err
	}
	if diff := difference(copied, found); diff != "" {
		return "", errors.New("its Jobs and CronJobs differ from the copied ones: " + diff)
	}
	return fmt.Sprintf("the same %d Jobs and CronJobs", len(found)), nil
}

// difference describes how two sets of objects differ. It is empty if they are equal.
func difference(want, got map[string]checksum) string {
	lines := func(checksums map[string]checksum) []string {
		var all []string
		for id, s := range checksums {
			all = append(all, fmt.Sprintf("%s %x", id, s[:4]))
		}
		return all
	}
	return cluster.Difference(lines(want), lines(got))
}

// verifyUses fails if the server does not list the path from the store. It compares their
// revisions.
func verifyUses(ctx context.Context, s cluster.Server, path string, store *Store) error {
	before, err := store.revision(ctx)
	if err != nil {
		return err
	}
	revision, err := cluster.Revision(ctx, s, path)
	if err != nil {
		return err
	}
	after, err := store.revision(ctx)
	if err != nil {
		return err
	}
	if revision < before || revision > after {
		return fmt.Errorf("the server is at revision %d and the etcd at %d: the server does not use this etcd", revision, after)
	}
	return nil
}

// servesFrom returns a check that a kube-apiserver serves Jobs from the store.
func servesFrom(store *Store) func(context.Context, cluster.Server) error {
	return func(ctx context.Context, kube cluster.Server) error {
		return verifyUses(ctx, kube, cluster.BatchPath("jobs"), store)
	}
}
