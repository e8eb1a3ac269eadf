// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/apitesting/roundtrip"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	policyfuzzer "github.com/batchgate/batchgate/pkg/apis/policy/fuzzer"
)

func TestInstall_RoundTrip(t *testing.T) {
	scheme := runtime.NewScheme()
	Install(scheme)
	funcs := fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, policyfuzzer.Funcs)
	roundtrip.RoundTripTestForScheme(t, scheme, funcs)
	roundtrip.RoundTripExternalTypesWithoutProtobuf(t, scheme, serializer.NewCodecFactory(scheme), fuzzer.FuzzerFor(funcs, nil, serializer.NewCodecFactory(scheme)), nil)
	if kinds := scheme.KnownTypes(policy.SchemeGroupVersion); len(kinds) < 2 {
		t.Errorf("the internal version only has the kinds %v", kinds)
	}
}
