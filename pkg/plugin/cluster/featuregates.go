// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// podFeatureGates are the gates that the defaulting, validation and strategies of Jobs, CronJobs and
// Pod templates use in Kubernetes 1.37. A test compares them with Kubernetes' source.
var podFeatureGates = []string{
	"AtomicWriteVolumeUserFields",
	"CSIVolumeHealth",
	"ClearingNominatedNodeNameAfterBinding",
	"ClusterTrustBundleProjection",
	"ContainerRestartRules",
	"ContainerStopSignals",
	"DRAExtendedResource",
	"DRANodeAllocatableResources",
	"DynamicResourceAllocation",
	"EmptyDirVolumeMode",
	"EnvFiles",
	"EvictionRequestAPI",
	"GRPCContainerProbeTLS",
	"GenericWorkload",
	"GitRepoVolumeDriver",
	"H2CContainerProbe",
	"HostnameOverride",
	"ImageVolume",
	"ImageVolumeWithDigest",
	"InPlacePodLevelResourcesVerticalScaling",
	"InPlacePodVerticalScaling",
	"InPlacePodVerticalScalingInitContainers",
	"InPlacePodVerticalScalingMemoryBackedVolumes",
	"JobManagedBy",
	"MatchLabelKeysInPodAffinity",
	"MatchLabelKeysInPodTopologySpread",
	"MatchLabelKeysInPodTopologySpreadSelectorMerge",
	"MutablePVNodeAffinity",
	"MutablePodResourcesForSuspendedJobs",
	"MutableSchedulingDirectivesForSuspendedJobs",
	"NodeInclusionPolicyInPodTopologySpread",
	"PodCertificateRequest",
	"PodDeletionCost",
	"PodLevelResources",
	"PodLevelResourcesFixDefaulting",
	"PodLevelResourcesFixKubeletQOSClass",
	"PodLogsQuerySplitStreams",
	"PodObservedGenerationTracking",
	"PreferSameTrafficDistribution",
	"ProcMountType",
	"RecoverVolumeExpansionFailure",
	"RecursiveReadOnlyMounts",
	"RelaxedEnvironmentVariableValidation",
	"RelaxedServiceNameValidation",
	"ResourceHealthStatus",
	"ResourceHealthStatusMessage",
	"RestartAllContainersOnContainerExits",
	"SELinuxChangePolicy",
	"SELinuxMount",
	"StrictIPCIDRValidation",
	"SupplementalGroupsPolicy",
	"TaintTolerationComparisonOperators",
	"UserNamespacesHostNetworkSupport",
	"UserNamespacesSupport",
	"VolumeAttributesClass",
	"VolumeBindMountOptions",
	"WorkloadWithJob",
}

var featureEnabled = regexp.MustCompile(`(?m)^kubernetes_feature_enabled\{name="([^"]+)",stage="[^"]*"\} ([01])`)

// errNotPublished is returned if a server does not show its feature gates to the user.
var errNotPublished = errors.New("does not publish its feature gates")

// CompareFeatureGates fails if a feature gate that matters to Jobs, CronJobs or Pod templates is on
// in one server and off in the other. The server with the gate off would drop or reject fields that
// the other one stores.
func CompareFeatureGates(ctx context.Context, cluster, batchgate Server) (string, error) {
	var gates [2]map[string]string
	for i, s := range []Server{cluster, batchgate} {
		name := []string{"kube-apiserver", "Batchgate"}[i]
		var err error
		gates[i], err = readFeatureGates(ctx, s)
		switch {
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), apierrors.IsNotFound(err):
			return fmt.Sprintf("not checked, since /metrics of %s is not readable: %v", name, err), nil
		case errors.Is(err, errNotPublished):
			return fmt.Sprintf("not checked, since %s %v", name, err), nil
		case err != nil:
			return "", fmt.Errorf("reading the feature gates of %s: %w", name, err)
		}
	}
	theirs, ours := gates[0], gates[1]
	var wrong, other, unknown []string
	same := 0
	for _, gate := range allKeys(theirs, ours) {
		their, our := theirs[gate], ours[gate]
		relevant := slices.Contains(podFeatureGates, gate)
		switch {
		case their == our:
			same++
		case their != "" && our != "" && relevant:
			wrong = append(wrong, fmt.Sprintf("%s=%t", gate, their == "1"))
		case their != "" && our != "":
			other = append(other, gate)
		case relevant:
			unknown = append(unknown, gate)
		}
	}
	if len(wrong) > 0 {
		return "", fmt.Errorf("%d feature gates that matter to Jobs differ: set --feature-gates=%s on the server, as on kube-apiserver", len(wrong), strings.Join(wrong, ","))
	}
	detail := fmt.Sprintf("the same %d feature gates", same)
	if len(other) > 0 {
		detail += "; not the same, but without effect on Jobs: " + first(other)
	}
	if len(unknown) > 0 {
		detail += "; known to one server only: " + first(unknown)
	}
	return detail, nil
}

// readFeatureGates returns the feature gates of a server, with "1" for those that are on.
func readFeatureGates(ctx context.Context, s Server) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	content, err := s.Read(ctx, "/metrics", ReadOptions{Accept: "text/plain"})
	if err != nil {
		return nil, err
	}
	gates := map[string]string{}
	for _, match := range featureEnabled.FindAllSubmatch(content, -1) {
		gates[string(match[1])] = string(match[2])
	}
	if len(gates) == 0 {
		return nil, errNotPublished
	}
	return gates, nil
}

// allKeys returns the keys of both maps in order.
func allKeys(a, b map[string]string) []string {
	var all []string
	for _, m := range []map[string]string{a, b} {
		for key := range m {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// first returns the number of the elements and at most three of them.
func first(list []string) string {
	return fmt.Sprintf("%d (%s)", len(list), strings.Join(list[:min(3, len(list))], ", "))
}
