// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pluginsLeftOut are the admission plugins of kube-apiserver that Batchgate does not have. A new
// minor version of Kubernetes may add a plugin. If it handles Jobs, CronJobs or all resources, add
// it to pkg/apiserver/admission, otherwise here.
var pluginsLeftOut = map[string]string{
	"AlwaysAdmit":                      "does nothing",
	"AlwaysDeny":                       "denies everything",
	"AlwaysPullImages":                 "handles Pods",
	"CertificateApproval":              "handles CertificateSigningRequests",
	"CertificateSigning":               "handles CertificateSigningRequests",
	"CertificateSubjectRestriction":    "handles CertificateSigningRequests",
	"ClusterTrustBundleAttest":         "handles ClusterTrustBundles",
	"DefaultIngressClass":              "handles Ingresses",
	"DefaultStorageClass":              "handles PersistentVolumeClaims",
	"DefaultTolerationSeconds":         "handles Pods",
	"DenyServiceExternalIPs":           "handles Services",
	"EventRateLimit":                   "handles Events",
	"ExtendedResourceToleration":       "handles Pods",
	"ImagePolicyWebhook":               "handles Pods",
	"LimitPodHardAntiAffinityTopology": "handles Pods",
	"LimitRanger":                      "handles Pods",
	"NamespaceAutoProvision":           "creates namespaces, for which Batchgate has no permission",
	"NamespaceExists":                  "is a part of NamespaceLifecycle",
	"NodeDeclaredFeatureValidator":     "handles Pods",
	"NodeRestriction":                  "handles Nodes and Pods",
	"PersistentVolumeClaimResize":      "handles PersistentVolumeClaims",
	"PodGroupProtection":               "handles PodGroups",
	"PodNodeSelector":                  "handles Pods",
	"PodResizeValidator":               "handles Pods",
	"PodTolerationRestriction":         "handles Pods",
	"PodTopologyLabels":                "handles Pods",
	"Priority":                         "handles Pods and PriorityClasses",
	"RuntimeClass":                     "handles Pods",
	"ServiceAccount":                   "handles Pods",
	"StorageObjectInUseProtection":     "handles volumes",
	"TaintNodesByCondition":            "handles Nodes",
}

// Batchgate has each feature gate of kube-apiserver with the same default, so that both can be
// started with the same --feature-gates.
func TestParityFeatureGates(t *testing.T) {
	t.Parallel()
	gate := regexp.MustCompile(`[a-z]+:[A-Za-z0-9]+=true\|false \([A-Z]+ - default=[a-z]+\)`)
	theirs, ours := helpTexts(t)
	want, got := gate.FindAllString(theirs, -1), gate.FindAllString(ours, -1)
	if len(want) < 100 {
		t.Fatalf("kube-apiserver has only the feature gates %q", want)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("feature gates of kube-apiserver (-) and Batchgate (+) differ:\n%s", diff)
	}
}

// Batchgate has the admission plugins of kube-apiserver that handle Jobs or CronJobs, with the same
// defaults.
func TestParityAdmissionPlugins(t *testing.T) {
	t.Parallel()
	theirs, ours := helpTexts(t)
	for _, list := range []*regexp.Regexp{
		regexp.MustCompile(`in addition to default enabled ones \(([^)]*)\)`),
		regexp.MustCompile(`Comma-delimited list of admission plugins: ([A-Za-z, ]*)\.`),
	} {
		want := slices.DeleteFunc(plugins(t, list, theirs), func(name string) bool { return pluginsLeftOut[name] != "" })
		if diff := cmp.Diff(want, plugins(t, list, ours)); diff != "" {
			t.Errorf("%s: plugins of kube-apiserver (-) and Batchgate (+) differ:\n%s", list, diff)
		}
	}
	all := plugins(t, regexp.MustCompile(`Comma-delimited list of admission plugins: ([A-Za-z, ]*)\.`), theirs)
	for _, name := range slices.Sorted(maps.Keys(pluginsLeftOut)) {
		if !slices.Contains(all, name) {
			t.Errorf("kube-apiserver has no plugin %s", name)
		}
	}
}

func plugins(t *testing.T, list *regexp.Regexp, help string) []string {
	t.Helper()
	match := list.FindStringSubmatch(help)
	if match == nil {
		t.Fatalf("the help has no %s", list)
	}
	return strings.Split(match[1], ", ")
}

// helpTexts returns the help of kube-apiserver and of Batchgate, each in one line.
func helpTexts(t *testing.T) (theirs, ours string) {
	t.Helper()
	help := func(file string) string {
		out, err := exec.CommandContext(t.Context(), file, "--help").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(out)), " ")
	}
	return help(filepath.Join(cluster.Binaries().Tools, "kube-apiserver")), help(cluster.Binaries().Batchgate)
}
