// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// protobufMagic precedes an encoded object, in etcd and in responses.
var protobufMagic = []byte("k8s\x00")

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 1<<16) }

// readLine reads a watch event in JSON.
func readLine(r *bufio.Reader) ([]byte, error) { return r.ReadBytes('\n') }

// readFrame reads a watch event in protobuf, including its length prefix.
func readFrame(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(4)
	if err != nil {
		return nil, err
	}
	frame := make([]byte, 4+binary.BigEndian.Uint32(head))
	_, err = io.ReadFull(r, frame)
	return frame, err
}

// dumpFrames is dump for watch events.
func dumpFrames(content []byte) string {
	var text strings.Builder
	reader := newReader(bytes.NewReader(content))
	for {
		frame, err := readFrame(reader)
		if err != nil {
			return text.String()
		}
		text.WriteString("event\n" + dump(frame[4:]))
	}
}

// dump formats protobuf as text, one field per line, without a schema. Different bytes have different
// texts. Whether a value is shown as text, as a message or as bytes depends on the value only.
func dump(content []byte) string {
	text, ok := dumpMessage(bytes.TrimPrefix(content, protobufMagic), "")
	if !ok {
		return strconv.Quote(string(content)) + "\n"
	}
	return text
}

// dumpMessage formats the fields of a message. ok is false if b is not a message.
func dumpMessage(b []byte, indent string) (text string, ok bool) {
	var out strings.Builder
	for len(b) > 0 {
		tag, n := minimalUvarint(b)
		if n <= 0 || tag>>3 == 0 {
			return "", false
		}
		b = b[n:]
		value, n := minimalUvarint(b)
		switch {
		case tag&7 == 0 && n > 0:
			b = b[n:]
			fmt.Fprintf(&out, "%s%d: %d\n", indent, tag>>3, value)
		case tag&7 == 1 && len(b) >= 8:
			fmt.Fprintf(&out, "%s%d: %x\n", indent, tag>>3, b[:8])
			b = b[8:]
		case tag&7 == 2 && n > 0 && value <= uint64(len(b)-n):
			fmt.Fprintf(&out, "%s%d: %s\n", indent, tag>>3, dumpBytes(b[n:n+int(value)], indent))
			b = b[n+int(value):]
		default:
			return "", false
		}
	}
	return out.String(), true
}

// dumpBytes formats a length-delimited value.
func dumpBytes(b []byte, indent string) string {
	if utf8.Valid(b) && bytes.IndexFunc(b, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return strconv.Quote(string(b))
	}
	if inner, ok := dumpMessage(bytes.TrimPrefix(b, protobufMagic), indent+"  "); ok {
		if bytes.HasPrefix(b, protobufMagic) {
			return "k8s {\n" + inner + indent + "}"
		}
		return "{\n" + inner + indent + "}"
	}
	return strconv.Quote(string(b))
}

// minimalUvarint is binary.Uvarint, but fails if the encoding has more bytes than necessary.
func minimalUvarint(b []byte) (value uint64, n int) {
	value, n = binary.Uvarint(b)
	if n > 1 && b[n-1] == 0 {
		return 0, -1
	}
	return value, n
}

func TestDumpProtobuf(t *testing.T) {
	for name, tc := range map[string]struct{ content, want string }{
		"number, text and nested message": {"\x08\x96\x01\x12\x02hi\x1a\x02\x08\x01", "1: 150\n2: \"hi\"\n3: {\n  1: 1\n}\n"},
		"object":                          {"k8s\x00\x0a\x00", "1: \"\"\n"},
		"object in object":                {"\x0a\x06k8s\x00\x08\x01", "1: k8s {\n  1: 1\n}\n"},
		"no protobuf":                     {"{}", "\"{}\"\n"},
		"number with redundant byte":      {"\x08\x81\x00", "\"\\b\\x81\\x00\"\n"},
		"length beyond end":               {"\x12\x09hi", "\"\\x12\\thi\"\n"},
	} {
		if got := dump([]byte(tc.content)); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
