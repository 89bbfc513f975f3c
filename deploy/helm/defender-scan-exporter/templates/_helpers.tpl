{{- define "exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters: a StatefulSet's pods carry it in a label, with a hash behind it. */}}
{{- define "exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "exporter.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "exporter.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "exporter.labels" -}}
{{ include "exporter.labelsWith" (list . dict) }}
{{- end }}

{{/* Labels of an object that has some of its own, which win over those of all objects. */}}
{{- define "exporter.labelsWith" -}}
{{- with first . -}}
{{ include "exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
{{- with merge dict (default dict (last .)) (default dict (first .).Values.commonLabels) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "exporter.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "exporter.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The ConfigMap with the configuration; empty if there is none. */}}
{{- define "exporter.configMap" -}}
{{- if .Values.existingConfigMap }}
{{- .Values.existingConfigMap }}
{{- else if .Values.config }}
{{- include "exporter.fullname" . }}
{{- end }}
{{- end }}

{{/* The Secret with credentials; empty if there is none. */}}
{{- define "exporter.secret" -}}
{{- if .Values.externalSecret.enabled }}
{{- include "exporter.fullname" . }}
{{- else }}
{{- .Values.existingSecret }}
{{- end }}
{{- end }}

{{/* The Secret with web-config.yml; empty if there is none. */}}
{{- define "exporter.webSecret" -}}
{{- if .Values.webConfig.existingSecret }}
{{- .Values.webConfig.existingSecret }}
{{- else if .Values.webConfig.config }}
{{- printf "%s-web" (include "exporter.fullname" .) }}
{{- end }}
{{- end }}

{{- define "exporter.scheme" -}}
{{- if .Values.webConfig.existingSecret }}
{{- ternary "https" "http" (default false .Values.webConfig.existingSecretTls) }}
{{- else }}
{{- ternary "https" "http" (hasKey (default dict .Values.webConfig.config) "tls_server_config") }}
{{- end }}
{{- end }}

{{/* Refuses values that contradict each other, or leave nothing to do. */}}
{{- define "exporter.validate" -}}
{{- $v := .Values }}
{{- $sources := list }}
{{- if $v.demo }}{{ $sources = append $sources "demo" }}{{ end }}
{{- if $v.config }}{{ $sources = append $sources "config" }}{{ end }}
{{- if $v.existingConfigMap }}{{ $sources = append $sources "existingConfigMap" }}{{ end }}
{{- if gt (len $sources) 1 }}
{{- fail (printf "expected one of demo, config and existingConfigMap, but found %s; leave one" (join " and " $sources)) }}
{{- end }}
{{- $wi := $v.workloadIdentity }}
{{- if and $wi.enabled (not $wi.clientId) }}
{{- fail "expected workloadIdentity.clientId, but found nothing; set it to the application's (client) id" }}
{{- end }}
{{- $names := list }}
{{- range $v.extraEnv }}{{ $names = append $names .name }}{{ end }}
{{- $environment := or (and $wi.enabled $wi.tenantId) (has "AZURE_TENANT_ID" $names) $v.extraEnvFrom }}
{{- if and (empty $sources) (not $environment) }}
{{- fail "expected a configuration, but found none; set config, existingConfigMap or workloadIdentity with its tenantId, or demo=true to try the exporter without a tenant" }}
{{- end }}
{{- if and $v.existingSecret $v.externalSecret.enabled }}
{{- fail "expected one of existingSecret and externalSecret.enabled, but found both; leave one" }}
{{- end }}
{{- if and $v.webConfig.existingSecret $v.webConfig.config }}
{{- fail "expected one of webConfig.config and webConfig.existingSecret, but found both; leave one" }}
{{- end }}
{{- if and $v.persistence.existingClaim (not $v.persistence.enabled) }}
{{- fail "expected persistence.enabled with persistence.existingClaim, but found it switched off; switch it on, or leave the claim out" }}
{{- end }}
{{- if and $v.persistence.existingClaim (gt (int $v.shards) 1) }}
{{- fail "expected persistence.existingClaim with one shard alone, but found several; let each shard have a claim of its own" }}
{{- end }}
{{- if $v.monitor.enabled }}
{{- if and (default dict $v.webConfig.config).basic_auth_users (not $v.monitor.basicAuth) }}
{{- fail "expected monitor.basicAuth, as webConfig.config.basic_auth_users asks for a password, but found nothing; name a Secret with a user's name and password" }}
{{- end }}
{{- if and (eq (include "exporter.scheme" .) "https") (not $v.monitor.tlsConfig) (not $v.webConfig.secrets) }}
{{- fail "expected monitor.tlsConfig or webConfig.secrets, as the exporter speaks TLS, but found neither; say who signed its certificate" }}
{{- end }}
{{- end }}
{{- end }}


{{- define "exporter.container.security" -}}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end }}

{{- define "exporter.pod.common" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
dnsPolicy: {{ .Values.dnsPolicy }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Variables of the exporter. */}}
{{- define "exporter.env" -}}
{{- if and .Values.workloadIdentity.enabled .federated }}
- name: AZURE_CLIENT_ID
  value: {{ .Values.workloadIdentity.clientId | quote }}
- name: AZURE_TENANT_ID
  value: {{ .Values.workloadIdentity.tenantId | quote }}
- name: AZURE_FEDERATED_TOKEN_FILE
  value: /var/run/secrets/azure/tokens/azure-identity-token
- name: AZURE_AUTHORITY_HOST
  value: {{ .Values.workloadIdentity.authorityHost | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "exporter.mounts" -}}
{{- if include "exporter.configMap" . }}
- name: config
  mountPath: /etc/defender-scan-exporter
  readOnly: true
{{- end }}
{{- if include "exporter.secret" . }}
- name: secrets
  mountPath: /run/secrets/defender
  readOnly: true
{{- end }}
{{- if include "exporter.webSecret" . }}
- name: web-config
  mountPath: /etc/defender-web
  readOnly: true
{{- end }}
{{- if and .Values.workloadIdentity.enabled .federated }}
- name: azure-identity-token
  mountPath: /var/run/secrets/azure/tokens
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* `suffix` is that of the hook's own copies. */}}
{{- define "exporter.volumes" -}}
{{- $hook := ne .suffix "" }}
{{- with include "exporter.configMap" . }}
- name: config
  configMap:
    name: {{ printf "%s%s" . (ternary $.suffix "" (empty $.Values.existingConfigMap)) | quote }}
{{- end }}
{{- with include "exporter.secret" . }}
- name: secrets
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
    {{- if $hook }}
    # What is missing is then said by name.
    optional: true
    {{- end }}
{{- end }}
{{- with include "exporter.webSecret" . }}
- name: web-config
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ printf "%s%s" . (ternary $.suffix "" (empty $.Values.webConfig.existingSecret)) | quote }}
      {{- range $.Values.webConfig.secrets }}
      - secret:
          name: {{ . | quote }}
      {{- end }}
{{- end }}
{{- if and .Values.workloadIdentity.enabled .federated }}
- name: azure-identity-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: azure-identity-token
          audience: {{ .Values.workloadIdentity.audience | quote }}
          expirationSeconds: 3600
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A probe of `path`: by HTTP, or by the exporter itself where HTTP asks for a password or certificate. */}}
{{- define "exporter.probe" -}}
{{- if include "exporter.webSecret" .context }}
exec:
  command:
    - /defender-scan-exporter
    - healthcheck
    - --url={{ include "exporter.scheme" .context }}://127.0.0.1:10063{{ .path }}
{{- else }}
httpGet:
  path: {{ .path }}
  port: metrics
{{- end }}
{{ toYaml .probe }}
{{- end }}
