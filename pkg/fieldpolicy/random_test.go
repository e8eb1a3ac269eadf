// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	batchfuzzer "k8s.io/kubernetes/pkg/apis/batch/fuzzer"
	corefuzzer "k8s.io/kubernetes/pkg/apis/core/fuzzer"
	"sigs.k8s.io/randfill"
)

var fuzzerFuncs = fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, corefuzzer.Funcs, batchfuzzer.Funcs)(legacyscheme.Codecs)

// generator creates random Jobs and policies.
type generator struct {
	filler *randfill.Filler
}

// newGenerator returns a generator that data determines. It leaves out half of the optional
// fields, and creates lists that are long enough to be reordered.
func newGenerator(data []byte) generator {
	filler := randfill.NewFromGoFuzz(data).NilChance(.5).NumElements(0, 2).Funcs(fuzzerFuncs...)
	return generator{filler.Funcs(func(f *metav1.FieldsV1, c randfill.Continue) {
		f.SetRawBytes(fmt.Appendf(nil, `{"f:%d":{}}`, c.Uint64())) // random bytes would not be JSON
	})}
}

// intn returns a number from 0 to n-1.
func (g generator) intn(n int) int {
	var x uint32
	g.filler.Fill(&x)
	return int(x % uint32(n))
}

func (g generator) job() *batch.Job {
	job := &batch.Job{}
	g.filler.Fill(job)
	return job
}

// update returns a random Job and an update of it with a number of random changes. Without
// changes, the update is another random Job.
func (g generator) update(changes int) (new, old *batch.Job) {
	old = g.job().DeepCopy() // the fuzzers let fields share memory
	if changes == 0 {
		return g.job().DeepCopy(), old
	}
	new = old.DeepCopy()
	for range changes {
		switch g.intn(6) {
		case 0:
			g.change(reflect.ValueOf(&new.ObjectMeta).Elem())
		case 1, 2:
			g.change(reflect.ValueOf(&new.Spec).Elem())
		default:
			g.changeUpdatable(new)
		}
	}
	return new, old
}

// changeUpdatable changes a field that everyone may change or send.
func (g generator) changeUpdatable(job *batch.Job) {
	fields := []any{
		&job.Labels, &job.Spec.Parallelism, &job.Spec.Completions, &job.Spec.Selector,
		&job.Name, &job.UID, &job.ResourceVersion, &job.Generation, &job.ManagedFields,
		&job.CreationTimestamp, &job.DeletionTimestamp, &job.SelfLink, &job.Status,
	}
	g.change(reflect.ValueOf(fields[g.intn(len(fields))]).Elem())
}

// change replaces v or a part of it.
func (g generator) change(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.NumField() > 0 && !isScalar(v.Type()) {
			g.change(v.Field(g.intn(v.NumField())))
			return
		}
	case reflect.Pointer:
		if !v.IsNil() && g.intn(4) > 0 {
			g.change(v.Elem())
			return
		}
	case reflect.Slice:
		if v.Len() > 0 {
			g.changeList(v)
			return
		}
	case reflect.Map:
		if v.Len() > 0 && g.intn(2) == 0 {
			first := slices.MinFunc(v.MapKeys(), func(a, b reflect.Value) int {
				return strings.Compare(a.String(), b.String()) // deterministic
			})
			v.SetMapIndex(first, reflect.Value{})
			return
		}
	}
	g.filler.Fill(v.Addr().Interface())
}

// changeList adds, removes, moves, repeats or changes an element of a list.
func (g generator) changeList(v reflect.Value) {
	i := g.intn(v.Len())
	switch g.intn(6) {
	case 0:
		element := reflect.New(v.Type().Elem())
		g.filler.Fill(element.Interface())
		v.Set(reflect.Append(v, element.Elem()))
	case 1:
		v.Set(reflect.AppendSlice(v.Slice(0, i), v.Slice(i+1, v.Len())))
	case 2:
		reflect.Swapper(v.Interface())(i, g.intn(v.Len()))
	case 3:
		v.Set(reflect.Append(v, v.Index(i)))
	default:
		g.change(v.Index(i))
	}
}
