{{/*
Fails if values contradict each other or, in an upgrade, the state of the cluster. values.schema.json checks each value on
its own.
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
{{- if has $topology (list "base" "batch-etcd") -}}
{{- range $servers -}}
{{- if not (regexMatch "^https://[^,;/\\s]+$" .) -}}
{{- $errors = append $errors (printf "etcd.servers: %s must be a URL like https://10.0.0.21:2379" (quote .)) -}}
{{- else if regexMatch "(?i)^https://(localhost|127\\.[0-9.]+|\\[::1\\])(:|$)" . -}}
{{- $errors = append $errors (printf "etcd.servers: %s must be a URL that Pods reach, and this one leads back to the Pod: use the address of etcd's node" (quote .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.certificates.certManager .Values.certificates.caBundle -}}
{{- $errors = append $errors "certificates.caBundle: must be empty, because cert-manager writes the CA" -}}
{{- end -}}
{{- if not (include "batchgate.hasDeployment" .) -}}
{{- $hint := "" -}}
{{- if eq $topology "shared-etcd" -}}
{{- $hint = ": add it to the file of the static Pod instead" -}}
{{- end -}}
{{- $set := dict "audit.enabled" .Values.audit.enabled "events.enabled" .Values.events.enabled "featureGates" .Values.featureGates -}}
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
{{- if .Release.IsUpgrade -}}
{{- $installed := dig "data" "topology" "" (lookup "v1" "ConfigMap" .Release.Namespace "batchgate-uninstall-check") -}}
{{- $batch := lookup "apiregistration.k8s.io/v1" "APIService" "" "v1.batch" -}}
{{- $server := printf "%s/%s" (dig "spec" "service" "namespace" "" $batch) (dig "spec" "service" "name" "" $batch) -}}
{{- $takenOver := or (eq $server (printf "%s/batchgate-apiserver" .Release.Namespace)) (dig "metadata" "annotations" "batchgate.io/etcd" "" $batch) -}}
{{- if and $installed (ne $installed $topology) $takenOver -}}
{{- $errors = append $errors (printf "topology: must stay %s, because v1.batch points to Batchgate: first run \"kubectl batchgate rollback\"" $installed) -}}
{{- end -}}
{{- end -}}
{{- if $errors -}}
{{- fail (printf "the values cannot be used:\n%s" (join "\n" $errors)) -}}
{{- end -}}
{{- end }}
