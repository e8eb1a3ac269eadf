// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"
)

// deniedMessage is the message for the last path that the gate denies the user admin.
const deniedMessage = `may not be updated; updatable fields are metadata.labels, spec.completions, spec.parallelism, spec.selector; no JobUpdatePolicy grants this change to "admin" (kubectl get jup)`

// deniedChanges are JSON Patches that the gate denies every user without a policy, with the
// denied paths.
var deniedChanges = map[string]struct {
	patch string
	paths []string
}{
	"annotation added": {
		`[{"op":"add","path":"/metadata/annotations/example.com~1new","value":"x"}]`,
		[]string{`metadata.annotations["example.com/new"]`},
	},
	"annotation changed": {
		`[{"op":"replace","path":"/metadata/annotations/example.com~1note","value":"second"}]`,
		[]string{`metadata.annotations["example.com/note"]`},
	},
	"annotation removed": {
		`[{"op":"remove","path":"/metadata/annotations/example.com~1note"}]`,
		[]string{`metadata.annotations["example.com/note"]`},
	},
	"all annotations removed": {
		`[{"op":"remove","path":"/metadata/annotations"}]`,
		[]string{`metadata.annotations["example.com/note"]`, `metadata.annotations["example.com/other"]`},
	},
	"finalizer added": {
		`[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/more"}]`,
		[]string{`metadata.finalizers["example.com/more"]`},
	},
	"finalizer removed": {
		`[{"op":"remove","path":"/metadata/finalizers/0"}]`,
		[]string{`metadata.finalizers["example.com/hold"]`},
	},
	"owner reference added": {
		`[{"op":"add","path":"/metadata/ownerReferences/-","value":{"apiVersion":"v1","kind":"ConfigMap","name":"second","uid":"two"}}]`,
		[]string{`metadata.ownerReferences[uid="two"]`},
	},
	"owner reference changed": {
		`[{"op":"add","path":"/metadata/ownerReferences/0/blockOwnerDeletion","value":true}]`,
		[]string{`metadata.ownerReferences[uid="5f0e1b52-0000-4000-8000-000000000001"].blockOwnerDeletion`},
	},
	"owner reference removed": {
		`[{"op":"remove","path":"/metadata/ownerReferences/0"}]`,
		[]string{`metadata.ownerReferences[uid="5f0e1b52-0000-4000-8000-000000000001"]`},
	},
	"generateName set": {
		`[{"op":"add","path":"/metadata/generateName","value":"pi-"}]`,
		[]string{`metadata.generateName`},
	},
	"suspend set": {
		`[{"op":"replace","path":"/spec/suspend","value":true}]`,
		[]string{`spec.suspend`},
	},
	"backoffLimit changed": {
		`[{"op":"replace","path":"/spec/backoffLimit","value":9}]`,
		[]string{`spec.backoffLimit`},
	},
	"ttlSecondsAfterFinished set": {
		`[{"op":"add","path":"/spec/ttlSecondsAfterFinished","value":60}]`,
		[]string{`spec.ttlSecondsAfterFinished`},
	},
	"activeDeadlineSeconds removed": {
		`[{"op":"remove","path":"/spec/activeDeadlineSeconds"}]`,
		[]string{`spec.activeDeadlineSeconds`},
	},
	"image changed": {
		`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"python"}]`,
		[]string{`spec.template.spec.containers[name="main"].image`},
	},
	"command changed": {
		`[{"op":"replace","path":"/spec/template/spec/containers/0/command","value":["sleep","1"]}]`,
		[]string{`spec.template.spec.containers[name="main"].command`},
	},
	"environment variable changed": {
		`[{"op":"replace","path":"/spec/template/spec/containers/0/env/0/value","value":"slow"}]`,
		[]string{`spec.template.spec.containers[name="main"].env[name="MODE"].value`},
	},
	"environment variable added": {
		`[{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":"MORE","value":"x"}}]`,
		[]string{`spec.template.spec.containers[name="main"].env[name="MORE"]`},
	},
	"memory request changed": {
		`[{"op":"replace","path":"/spec/template/spec/containers/0/resources/requests/memory","value":"2Gi"}]`,
		[]string{`spec.template.spec.containers[name="main"].resources.requests["memory"]`},
	},
	"container added": {
		`[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"late","image":"busybox"}}]`,
		[]string{`spec.template.spec.containers[name="late"]`},
	},
	"container removed": {
		`[{"op":"remove","path":"/spec/template/spec/containers/1"}]`,
		[]string{`spec.template.spec.containers[name="side"]`},
	},
	"init container renamed": {
		`[{"op":"replace","path":"/spec/template/spec/initContainers/0/name","value":"prepare"}]`,
		[]string{`spec.template.spec.initContainers[name="prepare"]`, `spec.template.spec.initContainers[name="setup"]`},
	},
	"containers reordered": {
		`[{"op":"move","from":"/spec/template/spec/containers/1","path":"/spec/template/spec/containers/0"}]`,
		[]string{`spec.template.spec.containers`},
	},
	"volume added": {
		`[{"op":"add","path":"/spec/template/spec/volumes/-","value":{"name":"more","emptyDir":{}}}]`,
		[]string{`spec.template.spec.volumes[name="more"]`},
	},
	"volume changed": {
		`[{"op":"add","path":"/spec/template/spec/volumes/0/emptyDir/medium","value":"Memory"}]`,
		[]string{`spec.template.spec.volumes[name="data"].emptyDir.medium`},
	},
	"toleration added": {
		`[{"op":"add","path":"/spec/template/spec/tolerations/-","value":{"key":"more","operator":"Exists"}}]`,
		[]string{`spec.template.spec.tolerations`},
	},
	"node selector changed": {
		`[{"op":"replace","path":"/spec/template/spec/nodeSelector/disk","value":"hdd"}]`,
		[]string{`spec.template.spec.nodeSelector["disk"]`},
	},
	"template label added": {
		`[{"op":"add","path":"/spec/template/metadata/labels/new","value":"x"}]`,
		[]string{`spec.template.metadata.labels["new"]`},
	},
	"template annotation changed": {
		`[{"op":"replace","path":"/spec/template/metadata/annotations/example.com~1pod","value":"no"}]`,
		[]string{`spec.template.metadata.annotations["example.com/pod"]`},
	},
	"template name set": {
		`[{"op":"add","path":"/spec/template/metadata/name","value":"x"}]`,
		[]string{`spec.template.metadata.name`},
	},
	"updatable and other fields changed together": {
		`[{"op":"replace","path":"/metadata/labels/team","value":"green"},
		  {"op":"replace","path":"/spec/parallelism","value":2},
		  {"op":"replace","path":"/spec/suspend","value":true},
		  {"op":"add","path":"/metadata/annotations/example.com~1new","value":"x"},
		  {"op":"replace","path":"/spec/template/spec/containers/1/image","value":"alpine"},
		  {"op":"replace","path":"/spec/template/spec/containers/0/image","value":"python"}]`,
		[]string{
			`metadata.annotations["example.com/new"]`,
			`spec.suspend`,
			`spec.template.spec.containers[name="main"].image`,
			`spec.template.spec.containers[name="side"].image`,
		},
	},
	"invalid values in fields that are not updatable": {
		`[{"op":"replace","path":"/spec/backoffLimit","value":-1},
		  {"op":"replace","path":"/spec/template/spec/restartPolicy","value":"Sometimes"}]`,
		[]string{`spec.backoffLimit`, `spec.template.spec.restartPolicy`},
	},
}

func TestDeniedChangeListsPathsStoresNothing(t *testing.T) {
	t.Parallel()
	for name, row := range deniedChanges {
		for _, update := range updateTypes {
			t.Run(name+" by "+update.name, func(t *testing.T) {
				t.Parallel()
				namespace := newNamespace()
				body := update.bodyFor(t, row.patch, shared.admin.apply(t, namespace, newJob(t)))
				key := jobKey(namespace, "pi")
				before := shared.read(t, key)
				for _, client := range updateClients(t) {
					for _, dryRun := range []bool{true, false} {
						r := client.update(t, update, namespace, body, dryRun)
						r.expectDenied(t, row.paths)
						shared.read(t, key).expectUnchanged(t, before)
						if t.Failed() {
							t.Fatalf("client %s, dry run %t, body %s", client.name, dryRun, body)
						}
					}
				}
			})
		}
	}
}
