// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// NegotiatedSerializer returns a serializer that cuts long texts of each Status that it encodes.
// It is the only code that all error responses go through.
func NegotiatedSerializer(s runtime.NegotiatedSerializer) runtime.NegotiatedSerializer {
	return serializer{s}
}

type serializer struct {
	runtime.NegotiatedSerializer
}

// EncoderForVersion implements runtime.NegotiatedSerializer.
func (s serializer) EncoderForVersion(e runtime.Encoder, gv runtime.GroupVersioner) runtime.Encoder {
	bounded := encoder{s.NegotiatedSerializer.EncoderForVersion(e, gv)}
	if allocating, ok := bounded.Encoder.(runtime.EncoderWithAllocator); ok {
		return encoderWithAllocator{bounded, allocating}
	}
	return bounded
}

type encoder struct {
	runtime.Encoder
}

// Encode implements runtime.Encoder.
func (e encoder) Encode(obj runtime.Object, w io.Writer) error {
	return e.Encoder.Encode(withBoundedStatus(obj), w)
}

type encoderWithAllocator struct {
	encoder
	allocating runtime.EncoderWithAllocator
}

var _ runtime.EncoderWithAllocator = encoderWithAllocator{}

// EncodeWithAllocator implements runtime.EncoderWithAllocator.
func (e encoderWithAllocator) EncodeWithAllocator(obj runtime.Object, w io.Writer, memory runtime.MemoryAllocator) error {
	return e.allocating.EncodeWithAllocator(withBoundedStatus(obj), w, memory)
}

func withBoundedStatus(obj runtime.Object) runtime.Object {
	if status, ok := obj.(*metav1.Status); ok {
		return Status(status)
	}
	return obj
}
