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

func TestKubectlExplainsPolicies(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	for path, texts := range map[string][]string{
		"jup":                        {"GROUP:", "policy.batchgate.io", "KIND:", "JobUpdatePolicy", "Users who can write policies"},
		"jup.spec":                   {"fields <[]string> -required-", "enum: Allow, Warn"},
		"jup.spec.fields":            {"A pattern includes all paths below it", "spec.suspend", `metadata.annotations["example.com/*"]`, "are invalid"},
		"jup.spec.action":            {"Allow, the default"},
		"jup.spec.jobSelector":       {"the labels that they have before"},
		"jup.spec.namespaceSelector": {"kubernetes.io/metadata.name"},
		"jup.spec.subjects":          {"User, Group and ServiceAccount", "Empty means everyone"},
		"jup.status.conditions":      {"Ready is True"},
	} {
		// kube-apiserver fetches the OpenAPI documents of an aggregated group in the background.
		s.Eventually("explain "+path, func() error {
			text, _, err := s.Try("explain", path)
			if err != nil {
				return err
			}
			flat := strings.Join(strings.Fields(text), " ")
			for _, want := range texts {
				if !strings.Contains(flat, want) {
					return fmt.Errorf("output does not contain %q:\n%s", want, text)
				}
			}
			return nil
		})
	}
	text := s.Run("explain", "jobupdatepolicy", "--recursive")
	for _, want := range []string{"namespaceSelector\t", "matchExpressions\t", "fields\t<[]string> -required-", "action\t<string>", "observedGeneration\t<integer>"} {
		if !strings.Contains(text, want) {
			t.Errorf("kubectl explain --recursive does not print %q:\n%s", want, text)
		}
	}
}

// row returns the cells of the row whose first cell is name, separated by single spaces.
func row(table, name string) string {
	for line := range strings.Lines(table) {
		if cells := strings.Fields(line); len(cells) > 0 && cells[0] == name {
			return strings.Join(cells, " ")
		}
	}
	return ""
}

func TestKubectlGetShowsPolicies(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.Run("wait", "jup", "default", "garbage-collector", "--for=condition=Ready", "--timeout=110s")
	name := s.CreatePolicy(s.NewPolicy("wide", session.Fields("spec.suspend"), session.Subjects(userSubject("u-"+s.Namespace)), session.Warn))
	s.Run("wait", "jup", name, "--for=condition=Ready", "--timeout=110s")

	for _, tc := range []struct {
		args []string
		rows map[string]string
	}{
		{
			args: []string{"get", "jup"},
			rows: map[string]string{
				"NAME":              "NAME SUBJECTS FIELDS ACTION READY AGE",
				"default":           "default <all> metadata.labels,spec.completions,spec.parallelism,spec.selector Allow True ",
				"garbage-collector": "garbage-collector ServiceAccount:kube-system/generic-garbage-collector,User:system:kube-controller-manager metadata.finalizers,metadata.ownerReferences Allow True ",
				name:                name + " User:u-" + s.Namespace + " spec.suspend Warn True ",
			},
		},
		{
			args: []string{"get", "jobupdatepolicies.policy.batchgate.io", "--output=wide"},
			rows: map[string]string{
				"NAME": "NAME SUBJECTS FIELDS ACTION READY AGE NAMESPACES JOBS",
				name:   name + " User:u-" + s.Namespace + " spec.suspend Warn True ",
			},
		},
		{
			args: []string{"get", "batchgate", "--no-headers"},
			rows: map[string]string{"NAME": "", "default": "default <all> metadata.labels"},
		},
	} {
		table := s.Run(tc.args...)
		for first, want := range tc.rows {
			if got := row(table, first); !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("kubectl %s printed row %q, want prefix %q, in\n%s", strings.Join(tc.args, " "), got, want, table)
			}
		}
	}
	wide := row(s.Run("get", "jup", name, "--output=wide"), name)
	if want := " kubernetes.io/metadata.name=" + s.Namespace + " <all> User:u-" + s.Namespace + " spec.suspend"; !strings.HasSuffix(wide, want) {
		t.Errorf("wide row is %q, want suffix %q", wide, want)
	}
	described := strings.Join(strings.Fields(s.Run("describe", "jup", name)), " ")
	for _, want := range []string{"Action: Warn", "Fields: spec.suspend", "Name: u-" + s.Namespace, "Reason: Active", "Type: Ready", "Observed Generation: 1"} {
		if !strings.Contains(described, want) {
			t.Errorf("kubectl describe does not print %q: %s", want, described)
		}
	}
}

func TestKubectlAppliesAndEditsPolicies(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	clientSide, serverSide := s.NewPolicy("client", session.Fields("spec.suspend")), s.NewPolicy("server", session.Fields("spec.suspend"))
	expectFields := func(name, want string) {
		t.Helper()
		if got := s.PolicyField(name, ".spec.fields"); got != want {
			t.Errorf("policy %s has fields %s, want %s", name, got, want)
		}
	}
	s.DeletePolicyAfterTest(clientSide.Name)
	for _, paths := range [][]string{{"spec.suspend"}, {"spec.suspend", "spec.backoffLimit"}} {
		session.Fields(paths...)(&clientSide.Spec)
		s.WithStdin(session.Manifest(t, clientSide)).Run("apply", "--filename=-")
	}
	expectFields(clientSide.Name, `["spec.suspend","spec.backoffLimit"]`)

	// The list of fields is a set, so several field managers can own entries.
	s.DeletePolicyAfterTest(serverSide.Name)
	apply := func(manager string, paths ...string) {
		t.Helper()
		session.Fields(paths...)(&serverSide.Spec)
		s.WithStdin(session.Manifest(t, serverSide)).Run("apply", "--server-side", "--field-manager="+manager, "--filename=-")
	}
	apply("one", "spec.suspend")
	apply("two", "spec.backoffLimit")
	expectFields(serverSide.Name, `["spec.suspend","spec.backoffLimit"]`)
	apply("one", "spec.activeDeadlineSeconds")
	if got := s.PolicyField(serverSide.Name, ".spec.fields"); strings.Contains(got, "spec.suspend") || !strings.Contains(got, "spec.backoffLimit") {
		t.Errorf("fields are %s after one manager replaced its entry", got)
	}

	s.Run("patch", "jup", clientSide.Name, "--type=json", `--patch=[{"op": "remove", "path": "/spec/fields/1"}]`)
	expectFields(clientSide.Name, `["spec.suspend"]`)
	editor := s
	editor.Kubectl = s.Kubectl.WithEnv("KUBE_EDITOR", "sed -i -e 's/- spec.suspend/- spec.backoffLimit/'")
	editor.Run("edit", "jup", clientSide.Name)
	expectFields(clientSide.Name, `["spec.backoffLimit"]`)
	stored := s.Run("get", "jup", clientSide.Name, "--output=yaml")
	s.WithStdin(strings.Replace(stored, "- spec.backoffLimit", "- spec.completionMode", 1)).Run("replace", "--filename=-")
	expectFields(clientSide.Name, `["spec.completionMode"]`)
}

func TestPolicyRejectionNamesNearestPath(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	p := s.NewPolicy("bad", session.Fields("spec.supend", "spec.suspend", "spec.template.spec.container[*].image", "status.active", "spec.template.spec.containers[0].image"))
	s.DeletePolicyAfterTest(p.Name)
	texts := []string{
		`is invalid`,
		`spec.fields[0]: Invalid value: "spec.supend": a batch/v1 Job has no field spec.supend; the nearest is spec.suspend`,
		`the nearest is spec.template.spec.containers[*].image`,
		`status.active cannot be granted`,
		`spec.fields[4]: Invalid value: "spec.template.spec.containers[0].image"`,
		`the nearest field is spec.template.spec.containers[*].image`,
	}
	s.WithStdin(session.Manifest(t, p)).ExpectError([]string{"create", "--filename=-"}, texts...)
	s.WithStdin(session.Manifest(t, p)).ExpectError([]string{"apply", "--server-side", "--filename=-"}, texts...)
	s.ExpectError([]string{"get", "jup", p.Name}, "NotFound")

	session.Fields("spec.suspend")(&p.Spec)
	s.CreatePolicy(p)
	s.ExpectError([]string{"patch", "jup", p.Name, "--type=merge", `--patch={"spec": {"fields": ["spec.parallelisms"]}}`}, "the nearest is spec.parallelism")
	s.ExpectError([]string{"patch", "jup", p.Name, "--type=merge", `--patch={"spec": {"fields": []}}`}, "spec.fields: Required value")
	s.ExpectError([]string{"patch", "jup", p.Name, "--type=merge", `--patch={"spec": {"action": "Deny"}}`}, `Unsupported value: "Deny"`)
	if got := s.PolicyField(p.Name, ".spec"); !strings.Contains(got, `"fields":["spec.suspend"]`) {
		t.Errorf("spec is %s after rejected changes", got)
	}
}

func TestPolicyStatusAndSpecWrittenSeparately(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	p := s.NewPolicy("status", session.Fields("spec.suspend"))
	p.Status.ObservedGeneration = 77
	name := s.CreatePolicy(p)
	s.Run("wait", "jup", name, "--for=condition=Ready", "--timeout=110s")
	before := s.PolicyField(name, ".status")
	if !strings.Contains(before, `"observedGeneration":1`) {
		t.Errorf("status is %s, want observedGeneration 1", before)
	}
	s.Run("patch", "jup", name, "--type=merge", `--patch={"status": {"observedGeneration": 77, "conditions": []}}`)
	if diff := cmp.Diff(before, s.PolicyField(name, ".status")); diff != "" {
		t.Errorf("an update of the policy changed the status (-before +after):\n%s", diff)
	}
	s.Run("patch", "jup", name, "--subresource=status", "--type=merge", `--patch={"spec": {"fields": ["*"]}, "metadata": {"labels": {"a": "b"}}, "status": {"observedGeneration": 2}}`)
	if got := s.PolicyField(name, ".status.observedGeneration"); got != "2" {
		t.Errorf("observedGeneration is %s after an update of the status, want 2", got)
	}
	if got := s.PolicyField(name, ".spec.fields") + s.PolicyField(name, ".metadata.labels"); got != `["spec.suspend"]` {
		t.Errorf("an update of the status changed the fields or labels: %s", got)
	}
}
