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

// dice makes random Jobs.
type dice struct {
	filler *randfill.Filler
}

// diceFrom returns dice that fall as data says. Half of what is optional is left out, and
// lists are long enough to be put into another order.
func diceFrom(data []byte) dice {
	filler := randfill.NewFromGoFuzz(data).NilChance(.5).NumElements(0, 2).Funcs(fuzzerFuncs...)
	return dice{filler.Funcs(func(f *metav1.FieldsV1, c randfill.Continue) {
		f.SetRawBytes(fmt.Appendf(nil, `{"f:%d":{}}`, c.Uint64())) // random bytes have no JSON
	})}
}

// roll returns a number from 0 to n-1.
func (d dice) roll(n int) int {
	var x uint32
	d.filler.Fill(&x)
	return int(x % uint32(n))
}

func (d dice) job() *batch.Job {
	job := &batch.Job{}
	d.filler.Fill(job)
	return job
}

// update returns a random Job and an update of it: with a number of random changes, or,
// for none, another random Job.
func (d dice) update(changes int) (new, old *batch.Job) {
	old = d.job().DeepCopy() // the fuzzers let fields share memory
	if changes == 0 {
		return d.job().DeepCopy(), old
	}
	new = old.DeepCopy()
	for range changes {
		switch d.roll(6) {
		case 0:
			d.change(reflect.ValueOf(&new.ObjectMeta).Elem())
		case 1, 2:
			d.change(reflect.ValueOf(&new.Spec).Elem())
		default:
			d.changeAllowed(new)
		}
	}
	return new, old
}

// changeAllowed changes a field that everybody may change, or send.
func (d dice) changeAllowed(job *batch.Job) {
	fields := []any{
		&job.Labels, &job.Spec.Parallelism, &job.Spec.Completions, &job.Spec.Selector,
		&job.Name, &job.UID, &job.ResourceVersion, &job.Generation, &job.ManagedFields,
		&job.CreationTimestamp, &job.DeletionTimestamp, &job.SelfLink, &job.Status,
	}
	d.change(reflect.ValueOf(fields[d.roll(len(fields))]).Elem())
}

// change replaces v, or something in it.
func (d dice) change(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.NumField() > 0 && !isLeaf(v.Type()) {
			d.change(v.Field(d.roll(v.NumField())))
			return
		}
	case reflect.Pointer:
		if !v.IsNil() && d.roll(4) > 0 {
			d.change(v.Elem())
			return
		}
	case reflect.Slice:
		if v.Len() > 0 {
			d.changeList(v)
			return
		}
	case reflect.Map:
		if v.Len() > 0 && d.roll(2) == 0 {
			first := slices.MinFunc(v.MapKeys(), func(a, b reflect.Value) int {
				return strings.Compare(a.String(), b.String()) // the same data, the same update
			})
			v.SetMapIndex(first, reflect.Value{})
			return
		}
	}
	d.filler.Fill(v.Addr().Interface())
}

// changeList adds to a list, or removes, moves, repeats or changes one of its elements.
func (d dice) changeList(v reflect.Value) {
	i := d.roll(v.Len())
	switch d.roll(6) {
	case 0:
		element := reflect.New(v.Type().Elem())
		d.filler.Fill(element.Interface())
		v.Set(reflect.Append(v, element.Elem()))
	case 1:
		v.Set(reflect.AppendSlice(v.Slice(0, i), v.Slice(i+1, v.Len())))
	case 2:
		reflect.Swapper(v.Interface())(i, d.roll(v.Len()))
	case 3:
		v.Set(reflect.Append(v, v.Index(i)))
	default:
		d.change(v.Index(i))
	}
}
