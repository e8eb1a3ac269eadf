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

// protobufMagic is before an object in protobuf, in etcd and in answers.
var protobufMagic = []byte("k8s\x00")

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 1<<16) }

// nextLine reads an event of a watch in JSON.
func nextLine(r *bufio.Reader) ([]byte, error) { return r.ReadBytes('\n') }

// nextFrame reads an event of a watch in protobuf, with its length before it.
func nextFrame(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(4)
	if err != nil {
		return nil, err
	}
	frame := make([]byte, 4+binary.BigEndian.Uint32(head))
	_, err = io.ReadFull(r, frame)
	return frame, err
}

// dumpFrames writes events of a watch as dump does.
func dumpFrames(content []byte) string {
	var text strings.Builder
	reader := newReader(bytes.NewReader(content))
	for {
		frame, err := nextFrame(reader)
		if err != nil {
			return text.String()
		}
		text.WriteString("event\n" + dump(frame[4:]))
	}
}

// dump writes protobuf as text, a field a line, without knowing what it is: other bytes are
// another text. Something that can be read as text or as a message is one or the other for what
// it is, wherever it is.
func dump(content []byte) string {
	text, ok := message(bytes.TrimPrefix(content, protobufMagic), "")
	if !ok {
		return strconv.Quote(string(content)) + "\n"
	}
	return text
}

// message writes the fields of a message, and returns false where it is none.
func message(b []byte, indent string) (text string, ok bool) {
	var out strings.Builder
	for len(b) > 0 {
		tag, n := uvarint(b)
		if n <= 0 || tag>>3 == 0 {
			return "", false
		}
		b = b[n:]
		value, n := uvarint(b)
		switch {
		case tag&7 == 0 && n > 0:
			b = b[n:]
			fmt.Fprintf(&out, "%s%d: %d\n", indent, tag>>3, value)
		case tag&7 == 1 && len(b) >= 8:
			fmt.Fprintf(&out, "%s%d: %x\n", indent, tag>>3, b[:8])
			b = b[8:]
		case tag&7 == 2 && n > 0 && value <= uint64(len(b)-n):
			fmt.Fprintf(&out, "%s%d: %s\n", indent, tag>>3, block(b[n:n+int(value)], indent))
			b = b[n+int(value):]
		default:
			return "", false
		}
	}
	return out.String(), true
}

// block writes what has a length: text, a message, or bytes.
func block(b []byte, indent string) string {
	if utf8.Valid(b) && bytes.IndexFunc(b, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return strconv.Quote(string(b))
	}
	if inner, ok := message(bytes.TrimPrefix(b, protobufMagic), indent+"  "); ok {
		if bytes.HasPrefix(b, protobufMagic) {
			return "k8s {\n" + inner + indent + "}"
		}
		return "{\n" + inner + indent + "}"
	}
	return strconv.Quote(string(b))
}

// uvarint reads a number that is written in as few bytes as it takes.
func uvarint(b []byte) (value uint64, n int) {
	value, n = binary.Uvarint(b)
	if n > 1 && b[n-1] == 0 {
		return 0, -1
	}
	return value, n
}

func TestProtobufIsDumpedAsWhatItIs(t *testing.T) {
	for name, tc := range map[string]struct{ content, want string }{
		"a number, text, and a message in it": {"\x08\x96\x01\x12\x02hi\x1a\x02\x08\x01", "1: 150\n2: \"hi\"\n3: {\n  1: 1\n}\n"},
		"an object":                           {"k8s\x00\x0a\x00", "1: \"\"\n"},
		"an object in an object":              {"\x0a\x06k8s\x00\x08\x01", "1: k8s {\n  1: 1\n}\n"},
		"what is no protobuf":                 {"{}", "\"{}\"\n"},
		"a number with a byte too many":       {"\x08\x81\x00", "\"\\b\\x81\\x00\"\n"},
		"a length that is too long":           {"\x12\x09hi", "\"\\x12\\thi\"\n"},
	} {
		if got := dump([]byte(tc.content)); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
