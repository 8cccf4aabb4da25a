{{/* Rules of Prometheus: `groups:`. What each alert means, and what to do, is in docs/runbook.md under its name. */}}

{{/* One alert: (dict "root" $ "name" "…" "expr" "…" "for" "5m" "severity" "page|ticket" "summary" "…" "description" "…"). */}}
{{- define "sluice.alert" -}}
- alert: {{ .name }}
  expr: |-
{{ .expr | trim | indent 4 }}
  for: {{ .for }}
  labels:
    severity: {{ .severity }}
{{- with .root.Values.alerts.labels }}
{{ toYaml . | indent 4 }}
{{- end }}
  annotations:
    summary: {{ .summary | quote }}
    description: {{ .description | quote }}
    runbook_url: {{ printf "%s#%s" .root.Values.alerts.runbookURL (lower .name) | quote }}
{{- end -}}

{{/* Errors of one origin as a part of all requests of a rule, over a window: (dict "origin" "upstream" "window" "5m"). */}}
{{- define "sluice.errorRatio" -}}
sum by (namespace, route, rule) (rate(sluice_request_errors_total{origin="{{ .origin }}"}[{{ .window }}]))
  / sum by (namespace, route, rule) (rate(sluice_requests_total[{{ .window }}]))
{{- end -}}

{{/* Which reason most of them have, for a text: (dict "origin" "upstream" "window" "5m"). */}}
{{- define "sluice.mostly" -}}
{{ printf "{{ range query (printf \"topk(1, sum by (reason) (rate(sluice_request_errors_total{origin=%s,namespace=%%q,route=%%q,rule=%%q}[%s])) > 0)\" $labels.namespace $labels.route $labels.rule) }}, mostly {{ .Labels.reason }}{{ end }}" (printf "'%s'" .origin) .window }}
{{- end -}}

{{/* Both windows burn the budget so fast, and somebody is there: (dict "root" $ "origin" "…" "burn" .fast). */}}
{{- define "sluice.burns" -}}
{{- $part := printf "%.6f" (mulf .burn.factor (subf 1.0 (divf .root.Values.alerts.objectivePercent 100.0))) -}}
(
  {{ include "sluice.errorRatio" (dict "origin" .origin "window" .burn.short) | indent 2 | trim }}
) > {{ $part }}
and (
  {{ include "sluice.errorRatio" (dict "origin" .origin "window" .burn.long) | indent 2 | trim }}
) > {{ $part }}
and sum by (namespace, route, rule) (rate(sluice_requests_total[{{ .burn.short }}])) > {{ .root.Values.alerts.leastRequestsPerSecond }}
{{- end -}}

{{/* CPUs that a container may use, of a quantity as Kubernetes has it: "1500m", "1.5", 2. */}}
{{- define "sluice.cores" -}}
{{- $q := toString . -}}
{{- if hasSuffix "m" $q }}{{ divf (trimSuffix "m" $q) 1000 }}{{ else }}{{ $q }}{{ end -}}
{{- end -}}

{{/* Of each proxy: workers that can be busy at once. A CPU limit may be less than there are. */}}
{{- define "sluice.workers" -}}
{{- $workers := "count by (pod, instance) (sluice_loop_lag_seconds)" -}}
{{- with dig "limits" "cpu" "" .Values.proxy.resources -}}
clamp_max({{ $workers }}, {{ include "sluice.cores" . }})
{{- else -}}
{{ $workers }}
{{- end -}}
{{- end -}}

{{- define "sluice.quantile" -}}
histogram_quantile(0.99, sum by (namespace, route, rule, le) (rate({{ .metric }}_bucket[{{ .window }}])))
{{- end -}}

{{- define "sluice.alerts" }}
{{- $a := .Values.alerts }}
{{- $busy := printf "and sum by (namespace, route, rule) (rate(sluice_requests_total[%s])) > %v" $a.latencyWindow $a.leastRequestsPerSecond }}
groups:
  - name: sluice-errors
    rules:
{{- range $origin := list "gateway" "auth" "upstream" }}
{{- range $speed, $burn := dict "Fast" $a.burn.fast "Slow" $a.burn.slow }}
{{ include "sluice.alert" (dict "root" $ "name" (printf "Sluice%sErrors%s" (title $origin) $speed)
    "expr" (include "sluice.burns" (dict "root" $ "origin" $origin "burn" $burn))
    "for" $burn.for "severity" (ternary "page" "ticket" (eq $speed "Fast"))
    "summary" (printf "{{ $labels.namespace }}/{{ $labels.route }}: %s errors use up its error budget" $origin)
    "description" (printf "{{ $value | humanizePercentage }} of the requests of rule {{ $labels.rule }} end in an error whose origin is %s%s." $origin (include "sluice.mostly" (dict "origin" $origin "window" $burn.short)))) | indent 6 }}
{{- end }}
{{- end }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceBackendErrors"
    "expr" (printf `(
  sum by (backend) (rate(sluice_upstream_responses_total{code=~"5.."}[%s]))
    / sum by (backend) (rate(sluice_upstream_responses_total[%s]))
) > %s
and sum by (backend) (rate(sluice_upstream_responses_total[%s])) > %v` $a.burn.fast.short $a.burn.fast.short (printf "%.6f" (mulf $a.burn.fast.factor (subf 1.0 (divf $a.objectivePercent 100.0)))) $a.burn.fast.short $a.leastRequestsPerSecond)
    "for" $a.burn.fast.for "severity" "ticket"
    "summary" "{{ $labels.backend }} answers with 5xx"
    "description" "{{ $value | humanizePercentage }} of the answers of this backend are errors of its own.") | indent 6 }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceNoReadyEndpoint"
    "expr" (printf `sum by (namespace, route, rule) (rate(sluice_request_errors_total{reason="no_endpoint"}[%s])) > 0` $a.errorWindow)
    "for" $a.for "severity" "page"
    "summary" "{{ $labels.namespace }}/{{ $labels.route }}: no endpoint is ready"
    "description" "Requests of rule {{ $labels.rule }} are answered with 503 because its backend has no ready endpoint.") | indent 6 }}
  - name: sluice-latency
    rules:
{{ include "sluice.alert" (dict "root" $ "name" "SluiceGatewaySlow"
    "expr" (printf "%s > %v\n%s" (include "sluice.quantile" (dict "metric" "sluice_gateway_duration_seconds" "window" $a.latencyWindow)) $a.gatewaySeconds $busy)
    "for" $a.for "severity" "page"
    "summary" "{{ $labels.namespace }}/{{ $labels.route }}: slow in the gateway"
    "description" "One request in a hundred of rule {{ $labels.rule }} spends {{ $value | humanizeDuration }} in the gateway: at work, or in the queue of a backend at its limit.") | indent 6 }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceUpstreamSlow"
    "expr" (printf "%s > %v\n%s" (include "sluice.quantile" (dict "metric" "sluice_upstream_duration_seconds" "window" $a.latencyWindow)) $a.upstreamSeconds $busy)
    "for" $a.for "severity" "ticket"
    "summary" "{{ $labels.namespace }}/{{ $labels.route }}: its backend is slow"
    "description" "One request in a hundred of rule {{ $labels.rule }} waits {{ $value | humanizeDuration }} for the backend.") | indent 6 }}
  - name: sluice-configuration
    rules:
{{ include "sluice.alert" (dict "root" $ "name" "SluiceConfigRejected"
    "expr" (printf "max by (pod, instance) (\n  increase(sluice_config_rejected_total[%s]) > 0\n  or (sluice_config_rejected_total > 0 unless sluice_config_rejected_total offset %s)\n)" $a.rejectedWindow $a.rejectedWindow)
    "for" "0s" "severity" "ticket"
    "summary" "A proxy sent back objects that it could not use"
    "description" "{{ with $labels.pod }}{{ . }} {{ end }}{{ $labels.instance }} has refused {{ $value | humanize }} objects of the configuration; what they say is not in force.") | indent 6 }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceResourcesRefused"
    "expr" "max by (kind, namespace, name, reason) (sluice_controller_refused) > 0"
    "for" $a.for "severity" "ticket"
    "summary" "{{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} is refused"
    "description" "Its reason is {{ $labels.reason }}; its condition Accepted says which field. What it says is not in force.") | indent 6 }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceProxyBehind"
    "expr" `max(sluice_controller_proxies{state="behind"}) > 0`
    "for" $a.for "severity" "page"
    "summary" "Proxies do not have the configuration of the controller"
    "description" "{{ $value }} proxies are connected and do not take what they are sent.") | indent 6 }}
{{ include "sluice.alert" (dict "root" $ "name" "SluicePinned"
    "expr" "max(sluice_controller_pinned) > 0"
    "for" $a.for "severity" "ticket"
    "summary" "The fleet is pinned to a revision"
    "description" "Somebody has used sluicectl rollback: what is written now is held back until sluicectl resume.") | indent 6 }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceControllerUnreachable"
    "expr" (printf "count(\n  sluice_config_age_seconds > %v\n  or sluice_config_rejected_total unless sluice_config_age_seconds\n) > 0" $a.configAgeSeconds)
    "for" $a.for "severity" "page"
    "summary" "Proxies hear nothing of a controller"
    "description" "{{ $value }} proxies go on with the configuration that they have; changes do not reach them.") | indent 6 }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceControllerBlind"
    "expr" "max by (pod, instance) (sluice_controller_watch_errors) > 0"
    "for" $a.for "severity" "ticket"
    "summary" "{{ with $labels.pod }}{{ . }} {{ end }}{{ $labels.instance }}: the controller cannot read what it should"
    "description" "{{ $value }} things cannot be read, as its log says; proxies go to another controller while there is one that can.") | indent 6 }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceControllersBlind"
    "expr" "min(sluice_controller_watch_errors) > 0"
    "for" $a.for "severity" "page"
    "summary" "No controller can read what it should"
    "description" "What changes does not reach the proxies, new endpoints among it.") | indent 6 }}
{{- range $name, $days := dict "SluiceCertificateExpiring" $a.certificateDays.ticket "SluiceCertificateExpiresSoon" $a.certificateDays.page }}
{{ include "sluice.alert" (dict "root" $ "name" $name
    "expr" (printf "min by (secret) (sluice_certificate_expiry_timestamp_seconds) - time() < %v * 86400" $days)
    "for" $a.for "severity" (ternary "ticket" "page" (eq $name "SluiceCertificateExpiring"))
    "summary" "The certificate of {{ $labels.secret }} ends soon"
    "description" "It ends in {{ $value | humanizeDuration }}, and has not been renewed.") | indent 6 }}
{{- end }}
  - name: sluice-saturation
    rules:
{{ include "sluice.alert" (dict "root" $ "name" "SluiceWorkersBusy"
    "expr" (printf `(
  sum by (pod, instance) (rate(process_cpu_seconds_total[%s]))
    / %s
) > %v` $a.latencyWindow (include "sluice.workers" .) $a.workersBusy)
    "for" $a.for "severity" "page"
    "summary" "{{ with $labels.pod }}{{ . }} {{ end }}{{ $labels.instance }}: its workers have little time left"
    "description" "Each worker is busy {{ $value | humanizePercentage }} of the time; above that requests wait.") | indent 6 }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceOverloaded"
    "expr" (printf `sum by (namespace, route, rule) (rate(sluice_request_errors_total{reason="overloaded"}[%s])) > 0` $a.errorWindow)
    "for" $a.for "severity" "page"
    "summary" "{{ $labels.namespace }}/{{ $labels.route }}: requests are turned away"
    "description" "A limit of rule {{ $labels.rule }}, of its backend or of the proxy itself is reached.") | indent 6 }}
{{- with .Values.autoscaling }}
{{- $many := max (mulf $a.ceilingPart .maxReplicas | ceil | int) (add1 .minReplicas) }}
{{- if and .enabled (le $many (int64 .maxReplicas)) }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceNearCeiling"
    "expr" (printf "count(count by (instance) (sluice_loop_lag_seconds)) >= %d" $many)
    "for" $a.for "severity" "ticket"
    "summary" "Autoscaling can start few more proxies"
    "description" (printf "{{ $value }} proxies run of the %d that autoscaling.maxReplicas allows." (int .maxReplicas))) | indent 6 }}
{{- end }}
{{- end }}
{{ include "sluice.alert" (dict "root" $ "name" "SluiceCostUp"
    "expr" (printf `(
  sum by (namespace, route) (rate(sluice_cpu_seconds_total[%s])) / sum by (namespace, route) (rate(sluice_requests_total[%s]))
) > %v * (
  sum by (namespace, route) (rate(sluice_cpu_seconds_total[%s] offset %s)) / sum by (namespace, route) (rate(sluice_requests_total[%s] offset %s))
)
and sum by (namespace, route) (rate(sluice_requests_total[%s])) > %v` $a.cost.window $a.cost.window $a.cost.factor $a.cost.window $a.cost.before $a.cost.window $a.cost.before $a.cost.window $a.leastRequestsPerSecond)
    "for" $a.for "severity" "ticket"
    "summary" "{{ $labels.namespace }}/{{ $labels.route }}: a request costs more than it did"
    "description" "A request of this route takes {{ $value | humanizeDuration }} of CPU time of the gateway, much more than before.") | indent 6 }}
{{- end -}}
