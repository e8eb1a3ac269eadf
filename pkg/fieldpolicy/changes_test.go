// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

func podSpec(j *batchv1.Job) *corev1.PodSpec         { return &j.Spec.Template.Spec }
func mainContainer(j *batchv1.Job) *corev1.Container { return &j.Spec.Template.Spec.Containers[0] }

// deniedChanges are updates with the paths that the bootstrap policies deny to ordinary users.
var deniedChanges = map[string]struct {
	send func(*batchv1.Job)
	want []string
}{
	// Metadata.
	"annotation changed": {
		send: func(j *batchv1.Job) { j.Annotations["example.com/ticket"] = "R-2" },
		want: []string{`metadata.annotations["example.com/ticket"]`},
	},
	"annotation added, annotation removed": {
		send: func(j *batchv1.Job) {
			delete(j.Annotations, "example.com/ticket")
			j.Annotations[`a"b\c`] = ""
		},
		want: []string{`metadata.annotations["a\"b\\c"]`, `metadata.annotations["example.com/ticket"]`},
	},
	"all annotations removed": {
		send: func(j *batchv1.Job) { j.Annotations = nil },
		want: []string{`metadata.annotations["example.com/ticket"]`, `metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`},
	},
	"finalizer added": {
		send: func(j *batchv1.Job) { j.Finalizers = append(j.Finalizers, "example.com/c") },
		want: []string{`metadata.finalizers["example.com/c"]`},
	},
	"finalizer replaced": {
		send: func(j *batchv1.Job) { j.Finalizers[0] = "example.com/c" },
		want: []string{`metadata.finalizers["example.com/a"]`, `metadata.finalizers["example.com/c"]`},
	},
	"finalizers reordered": {
		send: func(j *batchv1.Job) { slices.Reverse(j.Finalizers) },
		want: []string{"metadata.finalizers"},
	},
	"duplicate finalizer": {
		send: func(j *batchv1.Job) { j.Finalizers = append(j.Finalizers, "example.com/a") },
		want: []string{"metadata.finalizers"},
	},
	"owner added": {
		send: func(j *batchv1.Job) {
			j.OwnerReferences = append(j.OwnerReferences, metav1.OwnerReference{UID: "d00d"})
		},
		want: []string{`metadata.ownerReferences[uid="d00d"]`},
	},
	"field of an owner": {
		send: func(j *batchv1.Job) { j.OwnerReferences[0].Controller = ptr.To(true) },
		want: []string{`metadata.ownerReferences[uid="c0ffee"].controller`},
	},
	"generateName": {
		send: func(j *batchv1.Job) { j.GenerateName = "x" },
		want: []string{"metadata.generateName"},
	},

	// Scalars and structs.
	"scalar changed": {
		send: func(j *batchv1.Job) { j.Spec.BackoffLimit = ptr.To[int32](1) },
		want: []string{"spec.backoffLimit"},
	},
	"scalar added": {
		send: func(j *batchv1.Job) { j.Spec.TTLSecondsAfterFinished = ptr.To[int32](1) },
		want: []string{"spec.ttlSecondsAfterFinished"},
	},
	"struct added": {
		send: func(j *batchv1.Job) { j.Spec.SuccessPolicy = &batchv1.SuccessPolicy{} },
		want: []string{"spec.successPolicy"},
	},
	"struct removed": {
		send: func(j *batchv1.Job) { mainContainer(j).LivenessProbe = nil },
		want: []string{`spec.template.spec.containers[name="main"].livenessProbe`},
	},
	"volume source changed": {
		send: func(j *batchv1.Job) {
			podSpec(j).Volumes[1].VolumeSource = corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}
		},
		want: []string{`spec.template.spec.volumes[name="config"].configMap`, `spec.template.spec.volumes[name="config"].secret`},
	},
	"named port instead of number": {
		send: func(j *batchv1.Job) { mainContainer(j).LivenessProbe.HTTPGet.Port = intstr.FromString("http") },
		want: []string{`spec.template.spec.containers[name="main"].livenessProbe.httpGet.port`},
	},
	"creationTimestamp of the template": {
		send: func(j *batchv1.Job) { j.Spec.Template.CreationTimestamp = someTime },
		want: []string{"spec.template.metadata.creationTimestamp"},
	},
	"name and labels of the template": {
		send: func(j *batchv1.Job) {
			j.Spec.Template.Name = "x"
			j.Spec.Template.Labels["app"] = "x"
		},
		want: []string{`spec.template.metadata.labels["app"]`, "spec.template.metadata.name"},
	},

	// Maps.
	"nodeSelector": {
		send: func(j *batchv1.Job) { podSpec(j).NodeSelector["kubernetes.io/arch"] = "arm64" },
		want: []string{`spec.template.spec.nodeSelector["kubernetes.io/arch"]`},
	},
	"quantity": {
		send: func(j *batchv1.Job) {
			mainContainer(j).Resources.Requests[corev1.ResourceMemory] = resource.MustParse("2Gi")
		},
		want: []string{`spec.template.spec.containers[name="main"].resources.requests["memory"]`},
	},
	"one quantity reformatted, another changed": {
		send: func(j *batchv1.Job) {
			mainContainer(j).Resources.Requests[corev1.ResourceMemory] = resource.MustParse("1073741824")
			mainContainer(j).Resources.Requests[corev1.ResourceCPU] = resource.MustParse("501m")
		},
		want: []string{`spec.template.spec.containers[name="main"].resources.requests["cpu"]`},
	},

	// Associative lists.
	"image": {
		send: func(j *batchv1.Job) { mainContainer(j).Image = "render:2" },
		want: []string{`spec.template.spec.containers[name="main"].image`},
	},
	"container added": {
		send: func(j *batchv1.Job) {
			podSpec(j).Containers = append([]corev1.Container{{Name: "new", Image: "x"}}, podSpec(j).Containers...)
		},
		want: []string{`spec.template.spec.containers[name="new"]`},
	},
	"container renamed": {
		send: func(j *batchv1.Job) { mainContainer(j).Name = "first" },
		want: []string{`spec.template.spec.containers[name="first"]`, `spec.template.spec.containers[name="main"]`},
	},
	"all volumes removed": {
		send: func(j *batchv1.Job) { podSpec(j).Volumes = nil },
		want: []string{`spec.template.spec.volumes[name="config"]`, `spec.template.spec.volumes[name="scratch"]`},
	},
	"init containers reordered": {
		send: func(j *batchv1.Job) { slices.Reverse(podSpec(j).InitContainers) },
		want: []string{"spec.template.spec.initContainers"},
	},
	"init containers reordered and changed": {
		send: func(j *batchv1.Job) {
			podSpec(j).InitContainers[0].Image = "fetch:2"
			slices.Reverse(podSpec(j).InitContainers)
		},
		want: []string{"spec.template.spec.initContainers", `spec.template.spec.initContainers[name="fetch"].image`},
	},
	"environment": {
		send: func(j *batchv1.Job) { mainContainer(j).Env[0].Value = "low" },
		want: []string{`spec.template.spec.containers[name="main"].env[name="QUALITY"].value`},
	},
	"duplicate environment variable": {
		send: func(j *batchv1.Job) {
			mainContainer(j).Env = append(mainContainer(j).Env, corev1.EnvVar{Name: "SCENE", Value: "8"})
		},
		want: []string{`spec.template.spec.containers[name="main"].env`},
	},
	"port with two keys": {
		send: func(j *batchv1.Job) { mainContainer(j).Ports[1].Name = "h3" },
		want: []string{`spec.template.spec.containers[name="main"].ports[containerPort=80,protocol="UDP"].name`},
	},
	"key of a port": {
		send: func(j *batchv1.Job) { mainContainer(j).Ports[1].ContainerPort = 81 },
		want: []string{
			`spec.template.spec.containers[name="main"].ports[containerPort=80,protocol="UDP"]`,
			`spec.template.spec.containers[name="main"].ports[containerPort=81,protocol="UDP"]`,
		},
	},
	"topology spread constraint": {
		send: func(j *batchv1.Job) { podSpec(j).TopologySpreadConstraints[1].MaxSkew = 2 },
		want: []string{`spec.template.spec.topologySpreadConstraints[topologyKey="zone",whenUnsatisfiable="ScheduleAnyway"].maxSkew`},
	},
	"label of a topology spread constraint": {
		send: func(j *batchv1.Job) {
			podSpec(j).TopologySpreadConstraints[0].LabelSelector.MatchLabels["app"] = "x"
		},
		want: []string{`spec.template.spec.topologySpreadConstraints[topologyKey="zone",whenUnsatisfiable="DoNotSchedule"].labelSelector.matchLabels["app"]`},
	},
	"mount, host alias, pull secret": {
		send: func(j *batchv1.Job) {
			mainContainer(j).VolumeMounts[0].ReadOnly = true
			podSpec(j).HostAliases[0].Hostnames[0] = "b"
			podSpec(j).ImagePullSecrets[0].Name = "other"
		},
		want: []string{
			`spec.template.spec.containers[name="main"].volumeMounts[mountPath="/scratch"].readOnly`,
			`spec.template.spec.hostAliases[ip="10.0.0.1"].hostnames`,
			`spec.template.spec.imagePullSecrets[name="other"]`,
			`spec.template.spec.imagePullSecrets[name="registry"]`,
		},
	},
	"resource claims": {
		send: func(j *batchv1.Job) {
			podSpec(j).ResourceClaims[0].ResourceClaimName = ptr.To("gpu-1")
			mainContainer(j).Resources.Claims[0].Request = "half"
		},
		want: []string{
			`spec.template.spec.containers[name="main"].resources.claims[name="gpu"].request`,
			`spec.template.spec.resourceClaims[name="gpu"].resourceClaimName`,
		},
	},

	// Atomic lists.
	"toleration": {
		send: func(j *batchv1.Job) { podSpec(j).Tolerations[1].Operator = corev1.TolerationOpEqual },
		want: []string{"spec.template.spec.tolerations"},
	},
	"argument added": {
		send: func(j *batchv1.Job) { mainContainer(j).Command = append(mainContainer(j).Command, "-v") },
		want: []string{`spec.template.spec.containers[name="main"].command`},
	},
	"rule of the podFailurePolicy": {
		send: func(j *batchv1.Job) { j.Spec.PodFailurePolicy.Rules[0].Action = "Count" },
		want: []string{"spec.podFailurePolicy.rules"},
	},

	"denied and updatable fields": {
		send: func(j *batchv1.Job) {
			j.Labels = nil
			j.Spec.Parallelism = nil
			j.Status = batchv1.JobStatus{}
			j.ManagedFields = []metav1.ManagedFieldsEntry{{}}
			j.Spec.Suspend = ptr.To(true)
		},
		want: []string{"spec.suspend"},
	},
}
