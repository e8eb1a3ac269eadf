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

// protobufSize returns the size of a body in protobuf. It uses the types that upstream would decode,
// because a message does not contain its type, and its encoding does not tell messages from strings.
func protobufSize(data []byte) size {
	data, ok := bytes.CutPrefix(data, protobufPrefix)
	var unknown runtime.Unknown
	if !ok || unknown.Unmarshal(data) != nil {
		return size{} // Upstream decodes this part in the same way, so it rejects the body.
	}
	var largest size
	for _, typ := range protobufTypes(unknown) {
		var s size
		s.addMessage(unknown.Raw, typ)
		largest = size{max(largest.values, s.values), max(largest.objects, s.objects)}
	}
	return largest
}

// protobufTypes returns the types that a body may be decoded as. Upstream decodes the options of a
// DELETE with another scheme. A body whose type is missing or unknown may have any type of batch/v1.
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
			switch field := fields[int32(tag>>3)]; {
			case field.message != nil:
				s.addMessage(rest[:length], field.message)
			case field.integers:
				s.values += varints(rest[:length])
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

// messageField is a field of a message that may contain more than one value.
type messageField struct {
	// message is the type of a field with messages.
	message reflect.Type
	// integers is true for a list of integers, which may be packed into one field.
	integers bool
}

// varints returns the number of integers in a packed field.
func varints(data []byte) int {
	n := 0
	for _, b := range data {
		if b < 0x80 {
			n++
		}
	}
	return n
}

// messageFields returns the fields of a message that may contain more than one value, by number.
func messageFields(typ reflect.Type) map[int32]messageField {
	if cached, ok := fieldsByType.Load(typ); ok {
		return cached.(map[int32]messageField)
	}
	fields := map[int32]messageField{}
	switch typ.Kind() {
	case reflect.Map: // Each entry is a message with a key and a value.
		if value := messageType(typ.Elem()); value != nil {
			fields[2] = messageField{message: value}
		}
	case reflect.Struct:
		for i := range typ.NumField() {
			tag := strings.Split(typ.Field(i).Tag.Get("protobuf"), ",")
			if len(tag) < 2 {
				continue
			}
			number, err := strconv.ParseInt(tag[1], 10, 32)
			field := messageField{message: messageType(typ.Field(i).Type), integers: isIntegers(typ.Field(i).Type)}
			if err == nil && field != (messageField{}) {
				fields[int32(number)] = field
			}
		}
	}
	fieldsByType.Store(typ, fields)
	return fields
}

// isIntegers reports whether typ is a list of integers or booleans. A list of bytes is one value.
func isIntegers(typ reflect.Type) bool {
	if typ.Kind() != reflect.Slice {
		return false
	}
	switch typ.Elem().Kind() {
	case reflect.Bool, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// messageType returns typ without pointers and lists if that is a struct or a map, otherwise nil.
func messageType(typ reflect.Type) reflect.Type {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Struct || typ.Kind() == reflect.Map {
		return typ
	}
	return nil
}
