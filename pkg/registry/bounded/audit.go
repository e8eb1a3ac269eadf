// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
)

// AuditBackend returns a backend that cuts long texts in the response status of events. That status
// does not go through the NegotiatedSerializer.
func AuditBackend(backend audit.Backend) audit.Backend { return auditBackend{backend} }

type auditBackend struct {
	audit.Backend
}

// ProcessEvents implements audit.Sink. It must not modify the events.
func (b auditBackend) ProcessEvents(events ...*auditinternal.Event) bool {
	bounded := make([]*auditinternal.Event, len(events))
	for i, event := range events {
		bounded[i] = event
		if event.ResponseStatus != nil {
			cut := *event
			cut.ResponseStatus = Status(event.ResponseStatus)
			bounded[i] = &cut
		}
	}
	return b.Backend.ProcessEvents(bounded...)
}
