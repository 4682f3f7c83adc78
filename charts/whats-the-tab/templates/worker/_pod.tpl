{{- /* The pod of a worker: what the WorkerPool hands to the operator, which adds where the API and Redis are, queue,
       slots and drain time; or a plain Deployment where there is none, which has to say it itself. */ -}}
{{- define "tab.workerPod" -}}
{{- $pool := .Values.workerPool -}}
metadata:
  labels:
    {{- /* Not the chart's version: workers are not replaced because the chart was. */}}
    {{- include "tab.selector" (list . "worker") | nindent 4 }}
    {{- with .Values.commonLabels }}{{ toYaml . | nindent 4 }}{{ end }}
    {{- with $pool.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with $pool.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- include "tab.pullSecrets" . | nindent 2 }}
  securityContext: {{- include "tab.podSecurity" 65532 | nindent 4 }}
  terminationGracePeriodSeconds: {{ $pool.terminationGracePeriodSeconds }}
  {{- with $pool.gpu.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- include "tab.placement" $pool | nindent 2 }}
  containers:
    - name: worker
      image: {{ include "tab.image" (list . $pool.image (printf "%s-%s" .Chart.AppVersion ($pool.gpu.enabled | ternary "cuda" "cpu"))) }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext: {{- include "tab.containerSecurity" . | nindent 8 }}
      env:
        {{- if not .Values.operator.enabled }}
        - {name: WTT_API_URL, value: {{ include "tab.apiAddress" . | quote }}}
        - name: WTT_REDIS_URL
          valueFrom:
            secretKeyRef: {{- include "tab.redisUrlRef" . | nindent 14 }}
        - name: WTT_POD
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: WTT_POD_UID
          valueFrom: {fieldRef: {fieldPath: metadata.uid}}
        - {name: WTT_QUEUES, value: {{ $pool.queue | quote }}}
        - {name: WTT_SLOTS, value: {{ $pool.slotsPerWorker | quote }}}
        - {name: WTT_DRAIN_TIMEOUT, value: "{{ max 0 (sub (int $pool.terminationGracePeriodSeconds) 10) }}s"}
        {{- end }}
        - {name: WTT_THREADS, value: {{ $pool.threads | quote }}}
        - {name: WTT_DEVICE, value: {{ $pool.device | default ($pool.gpu.enabled | ternary "cuda" "cpu") | quote }}}
        - {name: WTT_TEMP_DIR, value: /work}
        {{- with $pool.extraEnv }}{{ toYaml . | nindent 8 }}{{ end }}
      resources:
        requests: {cpu: {{ $pool.cpu | default $pool.threads | quote }}, memory: {{ $pool.memory }}}
        limits:
          memory: {{ $pool.memory }}
          {{- if $pool.gpu.enabled }}
          {{ $pool.gpu.resource }}: {{ $pool.gpu.count }}
          {{- end }}
      volumeMounts:
        - {name: recordings, mountPath: /work}
        - {name: temporary, mountPath: /tmp}
        {{- if $pool.modelsClaim }}
        - {name: models, mountPath: /opt/whatsthetab/models, readOnly: true}
        {{- end }}
  volumes:
    - name: recordings
      emptyDir: {}
    - name: temporary
      emptyDir: {}
    {{- with $pool.modelsClaim }}
    - name: models
      persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
    {{- end }}
{{- end -}}
