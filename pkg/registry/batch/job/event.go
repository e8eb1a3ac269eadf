// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
)

const (
	// eventReason is the reason of the Events of denied updates.
	eventReason = "UpdateDenied"
	// maxEventPaths is the maximum number of paths in an Event.
	maxEventPaths = 5
	// maxEventMessage is the maximum length in bytes of the message of an Event, unless the user's name
	// has characters to escape.
	maxEventMessage = 1000
)

// recordDenied records an Event on the stored Job.
func (s *Strategy) recordDenied(user string) {
	job := &corev1.ObjectReference{
		APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job",
		Namespace: s.stored.Namespace, Name: s.stored.Name, UID: s.stored.UID, ResourceVersion: s.stored.ResourceVersion,
	}
	s.gate.Events.Event(job, corev1.EventTypeWarning, eventReason, eventMessage(s.decision, user))
}

// eventMessage says which fields user tried to change. It leaves out paths that are too long, and
// counts them.
func eventMessage(d *fieldpolicy.Decision, user string) string {
	message := fmt.Sprintf("%q may not update ", bounded.Text(user))
	if d.TooManyChanges {
		return message + fmt.Sprintf("more than %d fields", fieldpolicy.MaxChanges)
	}
	const reserved = len(", 10000 more")
	denied := d.DeniedPaths()
	var listed []string
	length := len(message)
	for _, path := range denied[:min(len(denied), maxEventPaths)] {
		text := path.String()
		if length+len(text)+reserved > maxEventMessage {
			continue
		}
		listed = append(listed, text)
		length += len(text) + len(", ")
	}
	switch more := len(denied) - len(listed); {
	case len(listed) == 0:
		listed = append(listed, "fields with long paths")
	case more > 0:
		listed = append(listed, fmt.Sprintf("%d more", more))
	}
	return message + strings.Join(listed, ", ")
}
