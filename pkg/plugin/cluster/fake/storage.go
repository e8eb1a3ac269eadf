// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"maps"
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object is a Job or a CronJob.
type Object interface {
	metav1.Object
	runtime.Object
}

// Storage holds Jobs and CronJobs.
type Storage interface {
	// List returns all objects of a resource and the current revision.
	List(resource string) ([]Object, int64, error)
	Put(resource string, obj Object) error
	Delete(resource, namespace, name string) error
}

// Memory is a Storage in memory.
type Memory struct {
	mu       *sync.Mutex
	objects  map[string]map[string]Object
	revision *int64
}

var _ Storage = &Memory{}

// NewMemory returns an empty storage at a revision.
func NewMemory(revision int64) *Memory {
	return &Memory{mu: &sync.Mutex{}, objects: newObjects(), revision: &revision}
}

func newObjects() map[string]map[string]Object {
	return map[string]map[string]Object{"jobs": {}, "cronjobs": {}}
}

// OtherPrefix returns an empty storage in the same etcd, so that both have the same revision.
func (m *Memory) OtherPrefix() *Memory {
	return &Memory{mu: m.mu, objects: newObjects(), revision: m.revision}
}

// List returns the objects in the order of their names.
func (m *Memory) List(resource string) ([]Object, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Object
	for _, key := range slices.Sorted(maps.Keys(m.objects[resource])) {
		all = append(all, m.objects[resource][key].DeepCopyObject().(Object))
	}
	return all, *m.revision, nil
}

// Put stores an object.
func (m *Memory) Put(resource string, obj Object) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	*m.revision++
	obj.SetResourceVersion(strconv.FormatInt(*m.revision, 10))
	m.objects[resource][obj.GetNamespace()+"/"+obj.GetName()] = obj
	return nil
}

// Delete removes an object.
func (m *Memory) Delete(resource, namespace, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := namespace + "/" + name
	if m.objects[resource][key] == nil {
		return apierrors.NewNotFound(schema.GroupResource{Group: "batch", Resource: resource}, name)
	}
	*m.revision++
	delete(m.objects[resource], key)
	return nil
}
