// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bodylimit

import (
	"bytes"
	"reflect"
	"strconv"
	"strings"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// protobufPrefix begins each body in protobuf. A runtime.Unknown follows.
var protobufPrefix = []byte("k8s\x00")

// protobufSize returns the size of a body in protobuf. A message does not contain its type, and a
// field may be a message or a string, so it uses the types that upstream would decode.
func protobufSize(data []byte) size {
	data, ok := bytes.CutPrefix(data, protobufPrefix)
	var unknown runtime.Unknown
	if !ok || unknown.Unmarshal(data) != nil {
		return size{} // Upstream decodes it in the same way.
	}
	var largest size
	for _, typ := range protobufTypes(unknown) {
		var s size
		s.addMessage(unknown.Raw, typ)
		largest = size{max(largest.values, s.values), max(largest.objects, s.objects)}
	}
	return largest
}

// protobufTypes returns the types that a body may be decoded as. The options of a DELETE have
// another scheme. A body whose type is missing or unknown may have any type of batch/v1.
func protobufTypes(unknown runtime.Unknown) []reflect.Type {
	var types []reflect.Type
	for _, scheme := range []*runtime.Scheme{legacyscheme.Scheme, metainternalversionscheme.Scheme} {
		if obj, err := scheme.New(unknown.GroupVersionKind()); err == nil {
			types = append(types, reflect.TypeOf(obj).Elem())
		}
	}
	if len(types) == 0 {
		for _, typ := range legacyscheme.Scheme.KnownTypes(batchv1.SchemeGroupVersion) {
			types = append(types, typ)
		}
	}
	return types
}

// The wire types of protobuf.
const (
	protobufVarint, protobufFixed64, protobufBytes, protobufStartGroup, protobufEndGroup, protobufFixed32 = 0, 1, 2, 3, 4, 5
)

// addMessage adds the values of a message. It reads the fields as the generated code of k8s.io/api
// does, which accepts some forms that other decoders reject. No type has groups, so it counts the
// fields in a group like those around it.
func (s *size) addMessage(data []byte, typ reflect.Type) {
	s.objects++
	fields := messageFields(typ)
	for len(data) > 0 {
		tag, rest, ok := cutVarint(data)
		if !ok {
			return
		}
		data = rest
		s.values++
		switch tag & 7 {
		case protobufVarint:
			if _, data, ok = cutVarint(data); !ok {
				return
			}
		case protobufFixed64:
			data = data[min(8, len(data)):]
		case protobufFixed32:
			data = data[min(4, len(data)):]
		case protobufBytes:
			length, rest, ok := cutVarint(data)
			if !ok || length > uint64(len(rest)) {
				return
			}
			if nested, ok := fields[int32(tag>>3)]; ok {
				s.addMessage(rest[:length], nested)
			}
			data = rest[length:]
		case protobufStartGroup, protobufEndGroup:
		default:
			return
		}
	}
}

// cutVarint returns the integer at the start of data and the remaining data.
func cutVarint(data []byte) (value uint64, rest []byte, ok bool) {
	for i, b := range data[:min(10, len(data))] {
		value |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return value, data[i+1:], true
		}
	}
	return 0, nil, false
}

// fieldsByType caches the results of messageFields.
var fieldsByType sync.Map

// messageFields returns the types of the fields of a message that are messages, by number.
func messageFields(typ reflect.Type) map[int32]reflect.Type {
	if cached, ok := fieldsByType.Load(typ); ok {
		return cached.(map[int32]reflect.Type)
	}
	fields := map[int32]reflect.Type{}
	switch typ.Kind() {
	case reflect.Map: // Each entry is a message with a key and a value.
		if value := messageType(typ.Elem()); value != nil {
			fields[2] = value
		}
	case reflect.Struct:
		for i := range typ.NumField() {
			tag := strings.Split(typ.Field(i).Tag.Get("protobuf"), ",")
			if len(tag) < 2 {
				continue
			}
			number, err := strconv.ParseInt(tag[1], 10, 32)
			if message := messageType(typ.Field(i).Type); err == nil && message != nil {
				fields[int32(number)] = message
			}
		}
	}
	fieldsByType.Store(typ, fields)
	return fields
}

// messageType returns the struct or map that typ is, points to or is a list of, or nil.
func messageType(typ reflect.Type) reflect.Type {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Struct || typ.Kind() == reflect.Map {
		return typ
	}
	return nil
}
