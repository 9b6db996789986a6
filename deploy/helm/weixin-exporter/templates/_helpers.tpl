{{/* The name of all objects. Prometheus takes that of the Service for the job, in which an alert looks for "weixin". */}}
{{- define "weixin-exporter.name" -}}
{{- if contains "weixin" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-weixin-exporter" (.Release.Name | trunc 36 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "weixin-exporter.selector" -}}
app.kubernetes.io/name: weixin-exporter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "weixin-exporter.labels" -}}
{{ include "weixin-exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
