// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bodylimit

import (
	"fmt"
	"strconv"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// maxValues is the maximum number of list elements and members of objects in a body. See
	// docs/design/0045-limit-values-of-a-body.md.
	maxValues = 60_000
	// maxObjects is the maximum number of objects and lists in a body.
	maxObjects = 30_000
	// maxName is the maximum length in bytes of the name of a member in JSON. Errors about unknown
	// members contain the name many times.
	maxName = 16 << 10
	// maxStrategicObjects is maxObjects for strategic merge patches. Upstream compares each element
	// of their lists with all others.
	maxStrategicObjects = 2_000
	// maxListOperations is the maximum number of operations of a JSON Patch that add or remove a list
	// element. Each of them copies the list.
	maxListOperations = 2_000
	// maxPatchDepth is the maximum depth of objects and lists in a patch in JSON. A Job has about ten
	// levels.
	maxPatchDepth = 1_000
	// maxPatchDepthSum is the maximum sum of the depths of all bytes of a patch in JSON. A patch of
	// 2 MiB, which is more than etcd stores by default, may have a depth of 16 everywhere.
	maxPatchDepthSum = 32 << 20
)

// size is the size of a body.
type size struct {
	// values is the number of list elements and of members of objects.
	values int
	// objects is the number of objects and lists. It includes nulls, because a null in a list of
	// structs becomes an empty struct.
	objects int
}

// Check returns an error if a body with this Content-Type exceeds the limits. An unknown type counts
// as JSON, because upstream rejects it without decoding.
func Check(contentType string, body []byte) error {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	switch {
	case strings.HasSuffix(mediaType, "yaml"):
		return checkYAML(body)
	case strings.HasSuffix(mediaType, "cbor"):
		return checkSize(cborSize(body), maxObjects)
	case strings.HasSuffix(mediaType, "protobuf"):
		return checkSize(protobufSize(body), maxObjects)
	case strings.HasSuffix(mediaType, "+json"):
		return checkPatch(types.PatchType(mediaType), body)
	default:
		return checkJSON(scanJSON(body), maxObjects)
	}
}

func checkSize(s size, maxObjects int) error {
	switch {
	case s.values > maxValues:
		return tooLarge("the request has more than %d list elements and members of objects", maxValues)
	case s.objects > maxObjects:
		return tooLarge("the request has more than %d objects and lists", maxObjects)
	}
	return nil
}

func checkJSON(t jsonTree, maxObjects int) error {
	if t.longestName > maxName {
		return tooLarge("the name of a member of an object has more than %d bytes", maxName)
	}
	return checkSize(t.size, maxObjects)
}

// checkPatch limits the work of patches in JSON. Upstream reads each byte of a merge patch several
// times for each level that the byte is nested in, and its decoder allows 10,000 levels. A patch
// of 20 kB with that depth, or of 3 MB with a tenth of it, could keep a server busy for a minute.
func checkPatch(patchType types.PatchType, body []byte) error {
	t := scanJSON(body)
	switch {
	case t.depth > maxPatchDepth:
		return apierrors.NewBadRequest(fmt.Sprintf("the patch is nested more than %d levels deep", maxPatchDepth))
	case t.depthSum > maxPatchDepthSum:
		return apierrors.NewBadRequest("the patch is nested too deeply for its size")
	case patchType == types.StrategicMergePatchType:
		return checkJSON(t, maxStrategicObjects)
	}
	if err := checkJSON(t, maxObjects); err != nil {
		return err
	}
	// Each operation is an object, so most patches need not be decoded for this.
	if patchType == types.JSONPatchType && t.objects > maxListOperations && listOperations(body) > maxListOperations {
		return tooLarge("the JSON Patch has more than %d operations on list elements", maxListOperations)
	}
	return nil
}

// listOperations returns the number of operations of a JSON Patch that may add or remove a list
// element. It decodes the patch as upstream does, and returns zero if upstream cannot decode it.
func listOperations(body []byte) int {
	patch, err := jsonpatch.DecodePatch(body)
	if err != nil {
		return 0
	}
	n := 0
	for _, operation := range patch {
		path, _ := operation.Path() // Upstream stops at an operation without a path.
		from, _ := operation.From()
		if operation.Kind() != "test" && (endsInElement(path) || endsInElement(from)) {
			n++
		}
	}
	return n
}

// endsInElement reports whether a JSON pointer may end in an element of a list.
func endsInElement(pointer string) bool {
	last := pointer[strings.LastIndexByte(pointer, '/')+1:]
	_, err := strconv.Atoi(last)
	return err == nil || last == "-"
}

func tooLarge(format string, args ...any) error {
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(format, args...))
}
