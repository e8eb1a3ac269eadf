{{/*
Fails if values contradict each other. values.schema.json checks each value on its own.
*/}}
{{- define "batchgate.validate" -}}
{{- $errors := list -}}
{{- $topology := .Values.topology -}}
{{- $servers := .Values.etcd.servers -}}
{{- if and (has $topology (list "base" "batch-etcd")) (not $servers) -}}
{{- $errors = append $errors (printf "etcd.servers: the topology %s needs the URLs of the etcd that stores the Jobs, for example --set 'etcd.servers={https://10.0.0.21:2379}'" $topology) -}}
{{- end -}}
{{- if and $servers (not (has $topology (list "base" "batch-etcd"))) -}}
{{- $errors = append $errors (printf "etcd.servers: must be empty, because the topology %s does not use it" $topology) -}}
{{- end -}}
{{- if and .Values.certificates.certManager .Values.certificates.caBundle -}}
{{- $errors = append $errors "certificates.caBundle: must be empty, because cert-manager writes the CA" -}}
{{- end -}}
{{- if not (include "batchgate.hasDeployment" .) -}}
{{- $hint := "" -}}
{{- if eq $topology "shared-etcd" -}}
{{- $hint = ": add it to the file of the static Pod instead" -}}
{{- end -}}
{{- $set := dict "audit.enabled" .Values.audit.enabled "featureGates" .Values.featureGates -}}
{{- if eq $topology "shared-etcd" -}}
{{- $set = merge $set (dict "extraArgs" .Values.extraArgs "extraEnv" .Values.extraEnv "extraVolumes" .Values.extraVolumes "extraVolumeMounts" .Values.extraVolumeMounts) -}}
{{- else -}}
{{- $set = merge $set (dict "certificates.certManager" .Values.certificates.certManager "certificates.caBundle" .Values.certificates.caBundle "kubectlApply.enabled" .Values.kubectlApply.enabled "monitoring.enabled" .Values.monitoring.enabled) -}}
{{- end -}}
{{- range $name, $value := $set -}}
{{- if $value -}}
{{- $errors = append $errors (printf "%s: the topology %s does not support it%s" $name $topology $hint) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (include "batchgate.servesCluster" .) (eq .Release.Namespace "default") -}}
{{- $errors = append $errors "namespace: install Batchgate in a namespace of its own: add --namespace=batchgate-system --create-namespace" -}}
{{- end -}}
{{- if $errors -}}
{{- fail (printf "the values cannot be used:\n%s" (join "\n" $errors)) -}}
{{- end -}}
{{- end }}
