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

{{/* "true" if the store is in PostgreSQL, which several exporters can share, and "" if it is in a file. */}}
{{- define "weixin-exporter.shared" -}}
{{- $store := get .Values.config "store" | default dict -}}
{{- if or (get $store "url") (get $store "url_file") }}true{{ end }}
{{- end }}

{{/* The configuration. With a URL of the store the path among the values' defaults is not meant. */}}
{{- define "weixin-exporter.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if include "weixin-exporter.shared" . }}{{ $_ := unset $config.store "path" }}{{ end -}}
{{- toYaml $config }}
{{- end }}
