{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Names that more than one object uses. */}}
{{- define "sluice.controller" -}}{{ include "sluice.fullname" . }}-controller{{- end -}}
{{- define "sluice.proxy" -}}{{ include "sluice.fullname" . }}-proxy{{- end -}}
{{- define "sluice.peers" -}}{{ include "sluice.fullname" . }}-peers{{- end -}}
{{- define "sluice.customMetrics" -}}{{ include "sluice.fullname" . }}-custom-metrics{{- end -}}
{{- define "sluice.linkSecret" -}}{{ include "sluice.fullname" . }}-link{{- end -}}
{{- define "sluice.linkConfigMap" -}}{{ include "sluice.fullname" . }}-link-ca{{- end -}}
{{- define "sluice.pin" -}}{{ include "sluice.fullname" . }}-pin{{- end -}}
{{- define "sluice.lease" -}}{{ include "sluice.controller" . }}{{- end -}}
{{/* Of cluster-scoped objects: two releases in two namespaces do not share them. */}}
{{- define "sluice.clusterName" -}}
{{- $full := include "sluice.fullname" . -}}
{{- ternary $full (printf "%s-%s" .Release.Namespace $full) (eq $full .Release.Namespace) -}}
{{- end -}}

{{/* Call with (dict "root" $ "part" "proxy"); part "" is for what belongs to both. */}}
{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .part }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sluice.image" -}}
{{- $image := .root.Values.image -}}
{{- $name := printf "%s-%s" $image.repository .part -}}
{{- if $image.registry }}{{ $name = printf "%s/%s" (trimSuffix "/" $image.registry) $name }}{{ end -}}
{{- $digest := get $image.digest .part -}}
{{- if $digest }}{{ $name }}@{{ $digest }}{{ else }}{{ $name }}:{{ default .root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{/* Where a pod listens: IPv6 sockets take both families, but not every kernel has them. */}}
{{- define "sluice.six" -}}
{{- if or (has "IPv6" .Values.service.ipFamilies) (has .Values.service.ipFamilyPolicy (list "PreferDualStack" "RequireDualStack")) }}yes{{ end -}}
{{- end -}}
{{- define "sluice.any" -}}{{ ternary "[::]" "0.0.0.0" (eq (include "sluice.six" .) "yes") }}{{- end -}}

{{/* Families of every Service of ours. */}}
{{- define "sluice.families" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end -}}

{{- define "sluice.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "sluice.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Call with (dict "root" $ "part" "proxy"): spread over nodes and zones, as far as there are any. */}}
{{- define "sluice.placement" -}}
{{- $own := get .root.Values .part -}}
topologySpreadConstraints:
{{- if $own.topologySpreadConstraints }}
{{ toYaml $own.topologySpreadConstraints | indent 2 }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
{{ include "sluice.selector" $ | indent 8 }}
{{- end }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with $own.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- end -}}

{{/* A quantity of memory, as 512Mi or 1G, in bytes. */}}
{{- define "sluice.bytes" -}}
{{- $units := dict "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[A-Za-z]+$" (toString .) -}}
{{- trimSuffix $unit (toString .) | mulf (dig $unit 1 $units) | int64 -}}
{{- end -}}
