// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
)

const (
	kube      = "kube"
	batchgate = "Batchgate"
	nobody    = "nobody"
	// fails is the outcome of a command that fails and changes nothing.
	fails = 0
)

// state is a state of a move.
type state struct {
	number int
	// server is the one that v1.batch points to.
	server, annotation, marker string
	freeze, guard              bool
	// authoritative is the server whose etcd has all acknowledged writes.
	authoritative string
	// writer is the server that accepts writes of clients.
	writer    string
	reachedBy string
	// next has the state after each of the commands.
	next [8]int
}

// commands are the commands of the table, in the order of state.next.
var commands = [8]struct {
	name string
	run  func(*testEnv) error
}{
	{"import", importWith(false, false)},
	{"import --resume", importWith(true, false)},
	{"import --overwrite", importWith(false, true)},
	{"import --resume --overwrite", importWith(true, true)},
	{"rollback", rollbackWith(false, false)},
	{"rollback --resume", rollbackWith(true, false)},
	{"rollback --etcd-servers", rollbackWith(false, true)},
	{"rollback --resume --etcd-servers", rollbackWith(true, true)},
}

// states is the model of the state machine. TestStates_Documented copies it to doc.go.
var states = []state{
	{1, kube, "", "", false, false, kube, kube, "installation", [8]int{9, 9, 9, 9, 1, 1, 1, 1}},
	{2, kube, "", "", true, false, kube, nobody, "import killed in \"freeze\"", [8]int{fails, 9, fails, 9, fails, 1, fails, 1}},
	{3, kube, "", stateImporting, true, false, kube, nobody, "import killed in \"freeze\" or \"copy\"", [8]int{fails, 9, fails, 9, fails, 6, fails, 6}},
	{4, kube, "", stateImporting, true, true, kube, nobody, "import killed after \"guard\"", [8]int{fails, 9, fails, 9, fails, 6, fails, 6}},
	{5, batchgate, policy.EtcdImporting, stateImporting, true, true, kube, nobody, "import killed after \"take over\"", [8]int{fails, 9, fails, 9, 6, 6, 6, 6}},
	{6, kube, "", stateImporting, false, false, kube, kube, "import that was undone", [8]int{9, 9, 9, 9, 6, 6, 6, 6}},
	{7, batchgate, policy.EtcdDedicated, stateImporting, true, true, batchgate, nobody, "import killed in \"mark as serving\"", [8]int{fails, 9, fails, 9, fails, fails, fails, 6}},
	{8, batchgate, policy.EtcdDedicated, stateServing, true, true, batchgate, nobody, "import killed before \"unfreeze\", rollback killed before \"roll back\"", [8]int{fails, 9, fails, 9, fails, fails, fails, 13}},
	{9, batchgate, policy.EtcdDedicated, stateServing, false, true, batchgate, batchgate, "import", [8]int{9, 9, 9, 9, fails, fails, 13, 13}},
	{10, kube, "", stateServing, false, true, batchgate, nobody, "rollback by hand (a patch of v1.batch)", [8]int{9, 9, 9, 9, fails, fails, fails, fails}},
	{11, kube, "", stateServing, true, true, batchgate, nobody, "rollback killed after \"roll back\"", [8]int{fails, 9, fails, 9, fails, 13, fails, 13}},
	{12, kube, "", stateServing, true, false, kube, nobody, "rollback killed in \"unfreeze\", import --overwrite killed in \"freeze\"", [8]int{fails, fails, fails, 9, fails, 13, fails, 13}},
	{13, kube, "", stateServing, false, false, kube, kube, "rollback", [8]int{fails, fails, 9, 9, 13, 13, 13, 13}},
	{14, batchgate, policy.EtcdImporting, stateImporting, false, true, batchgate, batchgate, "freeze lifted by hand in state 5", [8]int{fails, 9, fails, 9, fails, fails, fails, fails}},
	{15, batchgate, policy.EtcdDedicated, stateServing, false, false, batchgate, batchgate, "guard deleted by hand in state 9", [8]int{9, 9, 9, 9, fails, fails, 13, 13}},
	{16, kube, "", stateImporting, false, true, kube, nobody, "freeze lifted by hand in state 4, rollback by hand in state 14", [8]int{fails, fails, 9, 9, fails, fails, fails, fails}},
}

func importWith(resume, overwrite bool) func(*testEnv) error {
	return func(e *testEnv) error {
		i := e.newImport()
		i.Resume, i.Overwrite = resume, overwrite
		return i.Run(e.t.Context())
	}
}

func rollbackWith(resume, etcd bool) func(*testEnv) error {
	return func(e *testEnv) error {
		r := e.newRollback()
		r.Resume, r.Batchgate = resume, e.Connection()
		if etcd {
			r.Etcd = e.shared
		}
		return r.Run(e.t.Context())
	}
}

// Every command in every state either reaches the documented state or fails and changes nothing.
// No acknowledged write is lost.
func TestStates_Commands(t *testing.T) {
	for _, s := range states {
		for i, command := range commands {
			t.Run(fmt.Sprintf("%d %s", s.number, command.name), func(t *testing.T) {
				e := newTestEnv(t)
				e.enter(s)
				e.checkState(s)
				err := command.run(e)
				want := s
				if s.next[i] != fails {
					want = states[s.next[i]-1]
				}
				if (err == nil) != (s.next[i] != fails) {
					t.Errorf("the error is %v\n%+v", err, e.results)
				}
				e.checkState(want)
			})
		}
	}
}

// A dry run changes nothing, and fails if the command fails.
func TestStates_DryRun(t *testing.T) {
	for _, s := range states {
		for _, resume := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d resume %t", s.number, resume), func(t *testing.T) {
				e := newTestEnv(t)
				e.enter(s)
				r := e.newRollback()
				r.Resume, r.DryRun = resume, true
				err := r.Run(t.Context())
				command := 4
				if resume {
					command = 5
				}
				if (err == nil) != (s.next[command] != fails) {
					t.Errorf("the error is %v", err)
				}
				e.checkState(s)
			})
		}
	}
}

// enter constructs the state. The authoritative server has a Job that the other one lacks, unless
// the objects of both are equal because writes are frozen after a copy.
func (e *testEnv) enter(s state) {
	e.t.Helper()
	ctx := e.t.Context()
	if s.marker != "" {
		if err := e.dedicated.mark(ctx, &marker{Cluster: fake.UID, State: s.marker}); err != nil {
			e.t.Fatal(err)
		}
		if _, err := copyTo(ctx, e.KubeAPIServer, e.dedicated, func(string) {}); err != nil {
			e.t.Fatal(err)
		}
	}
	job := newJob("acknowledged")
	if s.authoritative == batchgate {
		if err := (etcdStorage{e.etcds.dedicated}).Put("jobs", job); err != nil {
			e.t.Fatal(err)
		}
		e.want["jobs/default/acknowledged"] = string(job.UID)
	} else if s.number != 5 {
		e.put("jobs", job)
	}
	if s.number == 11 {
		e.put("jobs", job) // the rollback has copied it
	}
	freeze := ""
	for d, exists := range map[*cluster.Denial]bool{&cluster.Freeze: s.freeze, &cluster.Guard: s.guard} {
		if exists {
			p, binding, err := create(ctx, e.Cluster.Cluster, *d, nil)
			if err != nil {
				e.t.Fatal(err)
			}
			if d == &cluster.Freeze {
				freeze = cluster.DenialID(p, binding)
			}
		}
	}
	if s.server == batchgate {
		e.Touch(func(a *apiregistrationv1.APIService) {
			a.Labels = nil
			a.Annotations = map[string]string{policy.EtcdAnnotation: s.annotation, policy.FreezeAnnotation: freeze}
			a.Spec.CABundle = []byte("ca")
			a.Spec.Service = &apiregistrationv1.ServiceReference{Namespace: fake.Service.Namespace, Name: fake.Service.Name, Port: ptr.To(fake.Service.Port)}
		})
	}
}

// checkState fails the test unless the cluster is in the state, and the authoritative etcd has
// every acknowledged write.
func (e *testEnv) checkState(want state) {
	e.t.Helper()
	got := state{server: kube, freeze: e.has(policy.FreezeName), guard: e.has(policy.GuardName)}
	a := e.APIService()
	if a.Spec.Service != nil {
		got.server = batchgate
	}
	got.annotation = a.Annotations[policy.EtcdAnnotation]
	mark, err := e.dedicated.marker(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	if mark != nil {
		got.marker = mark.State
	}
	if got.server != want.server || got.annotation != want.annotation || got.marker != want.marker || got.freeze != want.freeze || got.guard != want.guard {
		e.t.Errorf("the state is %+v, want %+v", got, want)
	}
	server := cluster.Server(e.Batchgate)
	if want.authoritative == kube && want.server == kube {
		server = e.KubeAPIServer
	}
	if found := e.served(server); !maps.Equal(found, e.want) {
		e.t.Errorf("the authoritative objects are %v, want %v", found, e.want)
	}
	got.writer = nobody
	_, err = e.KubeAPIServer.BatchV1().Jobs("default").Create(e.t.Context(), newJob("probe"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		got.writer = got.server
	}
	if got.writer != want.writer {
		e.t.Errorf("%s accepts writes (%v), want %s", got.writer, err, want.writer)
	}
}

// served returns the UIDs of the objects of a server, except the canaries of checks.
func (e *testEnv) served(s cluster.Server) map[string]string {
	e.t.Helper()
	found := map[string]string{}
	err := read(e.t.Context(), s, func(records []record) error {
		for _, r := range records {
			if isCanary(r.id) {
				continue
			}
			obj, _, err := encoder.Decode(r.value, nil, nil)
			if err != nil {
				return err
			}
			found[r.id] = string(obj.(fake.Object).GetUID())
		}
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return found
}

var docTable = regexp.MustCompile(`(?m)(^//\t.*\n)(?:^//(?:\t.*)?\n)*^//\t.*\n`)

// doc.go shows the table above.
func TestStates_Documented(t *testing.T) {
	content, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	table := renderStates()
	if strings.Contains(string(content), table) {
		return
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("doc.go", docTable.ReplaceAllLiteral(content, []byte(table)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("doc.go does not have this table; to update it run: UPDATE_GOLDEN=1 go test ./pkg/plugin/migration -run TestStates_Documented\n%s", table)
}

func renderStates() string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString("//\t" + strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
	}
	mark := func(set bool) string {
		if set {
			return "yes"
		}
		return "-"
	}
	dash := func(text string) string {
		if text == "" {
			return "-"
		}
		return text
	}
	const row = "%5v  %-9s  %-10s  %-9s  %-6s  %-5s  %-9s  %-9s"
	line(row, "state", "server", "annotation", "marker", "freeze", "guard", "all Jobs", "writes")
	for _, s := range states {
		line(row, s.number, s.server, dash(s.annotation), dash(s.marker), mark(s.freeze), mark(s.guard), s.authoritative, s.writer)
	}
	b.WriteString("//\n")
	line("state  reached by")
	for _, s := range states {
		line("%5d  %s", s.number, s.reachedBy)
	}
	b.WriteString("//\n")
	const cells = "%5v  %-6v  %-8v  %-11v  %-11v  %-8v  %-8v  %-8v  %-8v"
	line(cells, "", "import", "import", "import", "import", "rollback", "rollback", "rollback", "rollback")
	line(cells, "", "", "--resume", "", "--resume", "", "--resume", "", "--resume")
	line(cells, "state", "", "", "--overwrite", "--overwrite", "", "", "--etcd-s", "--etcd-s")
	for _, s := range states {
		row := []any{s.number}
		for _, next := range s.next {
			if next == fails {
				row = append(row, "fails")
			} else {
				row = append(row, next)
			}
		}
		line(cells, row...)
	}
	return b.String()
}
