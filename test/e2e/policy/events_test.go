// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// The suite runs Batchgate with --record-events and the permissions of artifacts/components/events.
func TestDeniedUpdatesRecordEvents(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	editor := s.Editor("editor")
	editor.ExpectDenied(session.MergePatch("pi", `{"spec": {"backoffLimit": 3, "suspend": true}}`), "spec.backoffLimit", "spec.suspend")
	// A dry run. If it recorded an Event, that would come before the ones below.
	editor.ExpectError(append(session.MergePatch("pi", `{"spec": {"activeDeadlineSeconds": 9}}`), "--dry-run=server"), "may not be updated")
	// The same field again, in an update with other fields that are allowed.
	for n := range 2 {
		editor.ExpectError(session.MergePatch("pi", fmt.Sprintf(`{"spec": {"backoffLimit": %d, "suspend": true, "parallelism": 2}}`, n)), "may not be updated")
	}
	editor.Run(session.MergePatch("pi", `{"spec": {"parallelism": 3}}`)...)

	message := fmt.Sprintf("%q may not update spec.backoffLimit, spec.suspend", "editor-"+s.Namespace)
	want := "3 Warning batchgate-apiserver Job/pi " + message
	s.Eventually("combine the Events of the denied updates", func() error {
		got := s.Run("get", "events", "--field-selector=reason=UpdateDenied",
			`--output=jsonpath={range .items[*]}{.count} {.type} {.source.component} {.involvedObject.kind}/{.involvedObject.name} {.message}{"\n"}{end}`)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("events differ (-want +got):\n%s", diff)
		}
		return nil
	})
	if description := s.Run("describe", "job", "pi"); !strings.Contains(description, message) {
		t.Errorf("kubectl describe does not print %q:\n%s", message, description)
	}
}
