{{- /* Names, labels, images and what every pod has in common. */ -}}

{{- define "tab.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Room is left for the longest suffix, so that no Service gets a name over 63. */ -}}
{{- define "tab.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "tab.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tab.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* selector: list of the root and the part's name */ -}}
{{- define "tab.selector" -}}
{{- $root := index . 0 -}}
{{- /* Quoted: n, on and 1 are names, and no text to YAML. */ -}}
app.kubernetes.io/name: {{ include "tab.name" $root | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "tab.labels" -}}
{{- $root := index . 0 -}}
{{ include "tab.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: whats-the-tab
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* image: list of the root, the image's values and a tag for when they name none */ -}}
{{- define "tab.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default (index . 2) }}{{ end -}}
{{- end -}}

{{- define "tab.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The profile "restricted" of the pod security standards; uid as argument. */ -}}
{{- define "tab.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "tab.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* placement: the values of a part */ -}}
{{- define "tab.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "tab.apiAddress" -}}
http://{{ include "tab.fullname" . }}-api.{{ .Release.Namespace }}.svc:{{ .Values.api.service.port }}
{{- end -}}

{{- define "tab.secretName" -}}
{{ include "tab.fullname" . }}-secrets
{{- end -}}

{{- /* Where a secret value is read from, as the body of a secretKeyRef. */ -}}
{{- define "tab.apiKeyRef" -}}
name: {{ .Values.api.key.existingSecret | default (include "tab.secretName" .) }}
key: {{ if .Values.api.key.existingSecret }}{{ .Values.api.key.secretKey }}{{ else }}api-key{{ end }}
{{- end -}}

{{- define "tab.redisUrlRef" -}}
{{- if and (not .Values.redis.enabled) .Values.redis.external.existingSecret -}}
name: {{ .Values.redis.external.existingSecret }}
key: {{ .Values.redis.external.secretKey }}
{{- else -}}
name: {{ include "tab.secretName" . }}
key: redis-url
{{- end -}}
{{- end -}}

{{- define "tab.databaseUrlRef" -}}
{{- if and (not .Values.postgres.enabled) .Values.postgres.external.existingSecret -}}
name: {{ .Values.postgres.external.existingSecret }}
key: {{ .Values.postgres.external.secretKey }}
{{- else -}}
name: {{ include "tab.secretName" . }}
key: database-url
{{- end -}}
{{- end -}}

{{- /* What does not fit together is refused before anything is installed. */ -}}
{{- define "tab.check" -}}
{{- if and (gt (int .Values.api.replicas) 1) (not .Values.api.objects.url) -}}
{{- fail "api.replicas above 1 needs api.objects.url: a volume belongs to one pod" -}}
{{- end -}}
{{- if and (not .Values.redis.enabled) (not .Values.redis.external.url) (not .Values.redis.external.existingSecret) -}}
{{- fail "redis.enabled=false needs redis.external.url or redis.external.existingSecret" -}}
{{- end -}}
{{- if and (not .Values.postgres.enabled) (not .Values.postgres.external.url) (not .Values.postgres.external.existingSecret) -}}
{{- fail "postgres.enabled=false needs postgres.external.url or postgres.external.existingSecret" -}}
{{- end -}}
{{- end -}}
