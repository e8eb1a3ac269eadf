package takeover

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// kinds are what is moved, and how to read pages of it.
var kinds = map[string]struct {
	kind schema.GroupVersionKind
	list func() runtime.Object
}{
	"jobs":     {batchv1.SchemeGroupVersion.WithKind("Job"), func() runtime.Object { return &batchv1.JobList{} }},
	"cronjobs": {batchv1.SchemeGroupVersion.WithKind("CronJob"), func() runtime.Object { return &batchv1.CronJobList{} }},
}

var (
	// encoder writes what an API server stores.
	encoder = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	// decoder fails at a field that it does not know, which a copy would lack.
	decoder = kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, kjson.SerializerOptions{Strict: true})
)

// encode returns an object as an API server stores it: as protobuf, without its version, which
// is etcd's.
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

// read calls each for pages of all objects that a server has, each resource at one revision.
func read(ctx context.Context, client kubernetes.Interface, each func([]record) error) error {
	for _, resource := range resources {
		for token := ""; ; {
			list := kinds[resource].list()
			request := client.BatchV1().RESTClient().Get().Resource(resource).Param("limit", fmt.Sprint(pageSize)).SetHeader("Accept", "application/json")
			if token != "" {
				request = request.Param("continue", token)
			}
			content, err := request.Do(ctx).Raw()
			if apierrors.IsResourceExpired(err) {
				return fmt.Errorf("listing %s took longer than etcd keeps old revisions: raise --etcd-compaction-interval of kube-apiserver: %w", resource, err)
			}
			if err != nil {
				return fmt.Errorf("listing %s: %w", resource, err)
			}
			if _, _, err := decoder.Decode(content, nil, list); err != nil {
				return fmt.Errorf("%s have fields that this version of the plugin does not know, or cannot be read: %w: use the plugin of the cluster's minor version", resource, err)
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

// served returns the sums of all objects that a server has, by id.
func served(ctx context.Context, client kubernetes.Interface) (map[string]sum, error) {
	found := map[string]sum{}
	err := read(ctx, client, func(records []record) error {
		for _, r := range records {
			found[r.id] = sha256.Sum256(r.value)
		}
		return nil
	})
	return found, err
}

// copyTo makes the objects in the store those that a server has, and tells progress how many it
// has read. It returns the sums of what was read.
func copyTo(ctx context.Context, client kubernetes.Interface, store *Store, progress func(string)) (map[string]sum, error) {
	there, err := store.sums(ctx)
	if err != nil {
		return nil, err
	}
	copied := map[string]sum{}
	err = read(ctx, client, func(records []record) error {
		var changed []record
		for _, r := range records {
			copied[r.id] = sha256.Sum256(r.value)
			if there[r.id] != copied[r.id] {
				changed = append(changed, r)
			}
		}
		progress(fmt.Sprintf("copying: %d Jobs and CronJobs", len(copied)))
		return store.write(ctx, changed)
	})
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(there, func(id string, _ sum) bool { _, found := copied[id]; return found })
	return copied, store.remove(ctx, slices.Collect(maps.Keys(there)))
}

// same returns an error if a server has not what was copied.
func same(ctx context.Context, client kubernetes.Interface, copied map[string]sum) (string, error) {
	has, err := served(ctx, client)
	if err != nil {
		return "", err
	}
	if diff := differ(copied, has); diff != "" {
		return "", fmt.Errorf("its Jobs and CronJobs are not what was copied: %s", diff)
	}
	return fmt.Sprintf("the same %d Jobs and CronJobs", len(has)), nil
}

// differ names what is not the same in two sets of objects; it returns nothing where all is.
func differ(want, got map[string]sum) string {
	lines := func(sums map[string]sum) []string {
		var all []string
		for id, s := range sums {
			all = append(all, fmt.Sprintf("%s %x", id, s[:4]))
		}
		return all
	}
	return difference(lines(want), lines(got))
}

// usesStore returns an error if the revision of a server's list is not that of the store.
func usesStore(ctx context.Context, client rest.Interface, resource string, store *Store) error {
	before, err := store.revision(ctx)
	if err != nil {
		return err
	}
	var list metav1.PartialObjectMetadataList
	request := client.Get().Resource(resource).Param("limit", "1").SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
	if err := request.Do(ctx).Into(&list); err != nil {
		return fmt.Errorf("listing %s: %w", resource, err)
	}
	after, err := store.revision(ctx)
	if err != nil {
		return err
	}
	if seen, err := strconv.ParseInt(list.ResourceVersion, 10, 64); err != nil || seen < before || seen > after {
		return fmt.Errorf("the server is at revision %s, and the etcd at %d: they do not belong together", list.ResourceVersion, after)
	}
	return nil
}
