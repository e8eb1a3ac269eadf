{{/*
Labels of an object. Arguments: the root context, and the value of app.kubernetes.io/name.
*/}}
{{- define "batchgate.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/*
"true" if the chart installs Batchgate for this cluster, in Pods that the chart or an admin starts.
*/}}
{{- define "batchgate.servesCluster" -}}
{{- if ne .Values.topology "standalone" }}true{{ end -}}
{{- end }}

{{/*
"true" if Batchgate runs as a Deployment.
*/}}
{{- define "batchgate.hasDeployment" -}}
{{- if has .Values.topology (list "base" "batch-etcd" "dedicated-etcd") }}true{{ end -}}
{{- end }}

{{/*
Image of Batchgate.
*/}}
{{- define "batchgate.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "v%s" .Chart.AppVersion) }}
{{- end }}

{{/*
Client URLs of the etcd, separated by commas.
*/}}
{{- define "batchgate.etcdServers" -}}
{{- $servers := .Values.etcd.servers -}}
{{- if eq .Values.topology "dedicated-etcd" -}}
{{- $servers = list -}}
{{- range until 3 -}}
{{- $servers = append $servers (printf "https://batchgate-etcd-%d.batchgate-etcd.%s.svc:2379" . $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- join "," $servers -}}
{{- end }}

{{/*
Audit policy, as the content of a file.
*/}}
{{- define "batchgate.auditPolicy" -}}
{{- if .Values.audit.policy -}}
{{- toYaml .Values.audit.policy -}}
{{- else -}}
{{- .Files.Get "files/audit-policy.yaml" -}}
{{- end -}}
{{- end }}

{{/*
Fields of a Pod's spec that all Pods of the chart share.
*/}}
{{- define "batchgate.podSpec" -}}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Security context of all containers.
*/}}
{{- define "batchgate.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/*
Spreads Pods over zones if possible. Argument: the value of their label app.kubernetes.io/name.
*/}}
{{- define "batchgate.topologySpreadConstraints" -}}
- topologyKey: topology.kubernetes.io/zone
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      app.kubernetes.io/name: {{ . }}
{{- end }}

{{/*
Flags of the kubectl plugin that name the Service, if it is not in the default namespace.
*/}}
{{- define "batchgate.pluginFlags" -}}
{{- if ne .Release.Namespace "batchgate-system" }} --service-namespace={{ .Release.Namespace }}{{ end -}}
{{- end }}

{{/*
Subject of the bindings: the service account of the Deployment, or the user of the static Pods.
*/}}
{{- define "batchgate.subjects" -}}
{{- if include "batchgate.hasDeployment" . -}}
- kind: ServiceAccount
  name: batchgate-apiserver
  namespace: {{ .Release.Namespace }}
{{- else -}}
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: batchgate-apiserver
{{- end -}}
{{- end }}
