{{/* The pods, with a volume for a store in a file and without one for a store in PostgreSQL. */}}
{{- define "weixin-exporter.pod" -}}
metadata:
  labels:
    {{- include "weixin-exporter.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # A changed configuration restarts the pod; the figures are in the database.
    checksum/config: {{ include "weixin-exporter.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  # The variables that Kubernetes makes of services begin with WEIXIN_EXPORTER_, as the flags' do.
  enableServiceLinks: false
  terminationGracePeriodSeconds: 15
  {{- if include "weixin-exporter.shared" . }}
  # On different nodes where there are several.
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "weixin-exporter.selector" . | nindent 10 }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: weixin-exporter
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - --config.file=/etc/weixin_exporter/config.yml
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnv }}
      env: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: 9988
      livenessProbe:
        httpGet:
          path: /-/healthy
          port: http
        periodSeconds: 30
        timeoutSeconds: 5
      # It never depends on Weixin, but on the database if there is one.
      readinessProbe:
        httpGet:
          path: /-/ready
          port: http
        periodSeconds: 10
        timeoutSeconds: 5
      resources: {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: config
          mountPath: /etc/weixin_exporter
          readOnly: true
        {{- if not (include "weixin-exporter.shared" .) }}
        - name: data
          mountPath: /var/lib/weixin_exporter
        {{- end }}
        - name: tmp
          mountPath: /tmp
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  volumes:
    # The configuration and, in a folder of it, the secrets.
    - name: config
      projected:
        defaultMode: 0440
        sources:
          - configMap:
              name: {{ include "weixin-exporter.name" . }}
              items:
                - key: config.yml
                  path: config.yml
          {{- with .Values.secrets.keys }}
          - secret:
              name: {{ $.Values.secrets.name }}
              items:
                {{- range . }}
                - key: {{ . | quote }}
                  path: {{ printf "secrets/%s" . | quote }}
                {{- end }}
          {{- end }}
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
{{- end }}
