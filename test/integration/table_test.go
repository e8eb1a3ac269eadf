// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
)

func TestTableColumnsAndCells(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	shared.admin.do(t, request{method: http.MethodPost, path: cronJobsPath(namespace), body: []byte(cronJob)}).expect(t, http.StatusCreated)
	for path, row := range map[string]struct{ columns, cells []string }{
		jobsPath(namespace): {
			[]string{"Name", "Status", "Completions", "Duration", "Age", "Containers", "Images", "Selector"},
			[]string{"pi", "Running", "0/3", "", "", "main,side", "perl,busybox", ""},
		},
		jobPath(namespace, "pi"): {
			[]string{"Name", "Status", "Completions", "Duration", "Age", "Containers", "Images", "Selector"},
			[]string{"pi", "Running", "0/3", "", "", "main,side", "perl,busybox", ""},
		},
		cronJobsPath(namespace): {
			[]string{"Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age", "Containers", "Images", "Selector"},
			[]string{"nightly", "0 3 * * *", "<none>", "False", "0", "<none>", "", "main", "perl", "<none>"},
		},
	} {
		var table metav1.Table
		shared.admin.do(t, request{method: http.MethodGet, path: path, accept: tableMediaType}).expect(t, http.StatusOK).decode(t, &table)
		var columns []string
		for _, column := range table.ColumnDefinitions {
			columns = append(columns, column.Name)
		}
		if diff := cmp.Diff(row.columns, columns); diff != "" {
			t.Errorf("%s: columns (-want +got):\n%s", path, diff)
		}
		if len(table.Rows) != 1 {
			t.Fatalf("%s: table has %d rows, want 1", path, len(table.Rows))
		}
		varies := sets.New("Age", "Duration")
		if path != cronJobsPath(namespace) {
			varies.Insert("Selector") // contains the Job's UID
		}
		for i, cell := range table.Rows[0].Cells {
			if !varies.Has(columns[i]) && cmp.Diff(row.cells[i], cellText(cell)) != "" {
				t.Errorf("%s: cell %s is %v, want %s", path, columns[i], cell, row.cells[i])
			}
		}
	}
}

// cellText returns a table cell as kubectl prints it.
func cellText(cell any) string { return fmt.Sprint(cell) }
