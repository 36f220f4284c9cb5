{{- define "afterlive.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "afterlive.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* A worker's pod. It ends when it is told to, or, as a job, when there is no more work. */ -}}
{{- define "afterlive.pod" -}}
metadata:
  labels:
    {{- include "afterlive.labels" . | nindent 4 }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: "8080"
    {{- if .Values.profiles }}
    checksum/profiles: {{ .Values.profiles | sha256sum }}
    {{- end }}
spec:
  serviceAccountName: {{ .Release.Name }}
  automountServiceAccountToken: false
  {{- with .Values.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  restartPolicy: {{ if eq .Values.mode "scaledJob" }}Never{{ else }}Always{{ end }}
  # Beyond the drain, what is left is handed back.
  terminationGracePeriodSeconds: {{ add .Values.drain 20 }}
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: worker
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- if eq .Values.mode "scaledJob" }}
      args: [--exit-when-idle]
      {{- end }}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      env:
        - {name: AFTERLIVE_QUEUE, value: {{ .Values.queue | quote }}}
        {{- if .Values.failed }}
        - {name: AFTERLIVE_FAILED, value: {{ .Values.failed | quote }}}
        {{- end }}
        - {name: AFTERLIVE_RECORDINGS, value: {{ .Values.recordings | quote }}}
        - {name: AFTERLIVE_STORE, value: {{ .Values.store | quote }}}
        - {name: AFTERLIVE_SLOTS, value: {{ .Values.slots | quote }}}
        - {name: AFTERLIVE_DRAIN, value: "{{ .Values.drain }}s"}
        - {name: AFTERLIVE_HTTP, value: "0.0.0.0:8080"}
        - {name: AFTERLIVE_SCRATCH, value: /scratch}
        - {name: AWS_REGION, value: {{ .Values.region | quote }}}
        {{- if .Values.endpoint }}
        - {name: AWS_ENDPOINT_URL_S3, value: {{ .Values.endpoint | quote }}}
        {{- end }}
        {{- if .Values.profiles }}
        - {name: AFTERLIVE_PROFILES, value: /etc/afterlive/profiles.yaml}
        {{- end }}
        {{- range $name, $value := .Values.environment }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
      {{- if .Values.secret }}
      envFrom: [{secretRef: {name: {{ .Values.secret }}}}]
      {{- end }}
      ports: [{name: http, containerPort: 8080}]
      livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 30, timeoutSeconds: 5, failureThreshold: 3, initialDelaySeconds: 10}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: scratch, mountPath: /scratch}
        - {name: tmp, mountPath: /tmp}
        {{- if .Values.profiles }}
        - {name: profiles, mountPath: /etc/afterlive}
        {{- end }}
  volumes:
    - {name: scratch, emptyDir: {sizeLimit: {{ .Values.scratch }}}}
    - {name: tmp, emptyDir: {sizeLimit: 64Mi}}
    {{- if .Values.profiles }}
    - {name: profiles, configMap: {name: {{ .Release.Name }}-profiles}}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
