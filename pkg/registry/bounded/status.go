// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMessage is the maximum length in bytes of the message of a response. The message of a
// validation error, which contains all errors, is shorter.
const maxMessage = maxTotal + 4<<10

// maxCause is the maximum length in bytes of the message of a cause.
const maxCause = maxDetail + 2*MaxText

// Status returns a status with long texts cut. Errors of decoders and patches contain parts of the
// request, up to its full length and several times. Status does not modify its argument.
func Status(status *metav1.Status) *metav1.Status {
	cut := *status
	cut.Message = cutText(cut.Message, maxMessage)
	if cut.Details != nil {
		details := *cut.Details
		details.Name, details.Group, details.Kind = cutText(details.Name, maxDetail), cutText(details.Group, maxDetail), cutText(details.Kind, maxDetail)
		details.Causes = causes(details.Causes)
		cut.Details = &details
	}
	return &cut
}

// causes returns the first causes. The message of the last one says how many are left out.
func causes(all []metav1.StatusCause) []metav1.StatusCause {
	var bounded []metav1.StatusCause
	total := 0
	for _, cause := range all[:min(len(all), MaxErrors)] {
		cause.Field, cause.Message = Text(cause.Field), cutText(cause.Message, maxCause)
		if total += len(cause.Field) + len(cause.Message); total > maxTotal {
			break
		}
		bounded = append(bounded, cause)
	}
	if more := len(all) - len(bounded); more > 0 && len(bounded) > 0 {
		last := &bounded[len(bounded)-1]
		last.Message = strings.TrimPrefix(fmt.Sprintf("%s; %d more causes are not listed", last.Message, more), "; ")
	}
	return bounded
}
