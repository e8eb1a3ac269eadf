// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bodylimit

// The major types and simple values of RFC 8949 that cborSize treats differently from others.
const (
	cborBytes, cborText, cborArray, cborMap, cborSimple = 2, 3, 4, 5, 7

	cborNull, cborUndefined, cborIndefinite = 22, 23, 31
)

// cborSize returns the size of a body in CBOR. The keys of objects count as values too.
func cborSize(data []byte) size {
	var s size
	for len(data) > 0 {
		major, info := data[0]>>5, data[0]&0x1f
		data = data[1:]
		argument := uint64(info)
		if info >= 24 && info <= 27 { // The argument follows, in 1, 2, 4 or 8 bytes.
			length := 1 << (info - 24)
			if len(data) < length {
				return s
			}
			argument = 0
			for _, b := range data[:length] {
				argument = argument<<8 | uint64(b)
			}
			data = data[length:]
		}
		s.values++
		switch major {
		case cborBytes, cborText:
			if info == cborIndefinite {
				continue // Its chunks follow.
			}
			if argument > uint64(len(data)) {
				return s
			}
			data = data[argument:]
		case cborArray, cborMap:
			s.objects++
		case cborSimple:
			if info == cborNull || info == cborUndefined {
				s.objects++
			}
		}
	}
	return s
}
