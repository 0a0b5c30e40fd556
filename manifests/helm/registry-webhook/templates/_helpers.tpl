{{/*
The name of the installation's objects. It is the release's name if that contains the chart's, as
`helm install registry-webhook` does, and RELEASE-registry-webhook otherwise. Leaves room for the longest suffix.
*/}}
{{- define "registry-webhook.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/*
The name of another object: what comes before and after "registry-webhook" in the full name is put around it. The
commands find the objects by the same rule (webhook/constants.py, InstallationNames.renamed).
Call it with (list . "registry-webhook-SOMETHING").
*/}}
{{- define "registry-webhook.object" -}}
{{- $root := index . 0 }}
{{- $name := index . 1 }}
{{- $full := include "registry-webhook.fullname" $root }}
{{- if contains "registry-webhook" $full }}
{{- $around := splitn "registry-webhook" 2 $full }}
{{- printf "%s%s%s" $around._0 $name $around._1 }}
{{- else }}
{{- printf "%s%s" $full (trimPrefix "registry-webhook" $name) }}
{{- end }}
{{- end }}

{{/*
The labels that select the Pods. They never change, because a Deployment's selector cannot. The name stays whatever the
values are: commands find an installation by it.
*/}}
{{- define "registry-webhook.selectorLabels" -}}
app.kubernetes.io/name: registry-webhook
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: admission-webhook
{{- end }}

{{/*
The recommended labels: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
*/}}
{{- define "registry-webhook.recommendedLabels" -}}
{{ include "registry-webhook.selectorLabels" . }}
app.kubernetes.io/part-of: registry-webhook
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/*
The labels of Pods, without the chart's version: a new chart with the same image replaces no Pod.
*/}}
{{- define "registry-webhook.podLabels" -}}
{{- $own := include "registry-webhook.recommendedLabels" . | fromYaml }}
{{- toYaml (merge $own .Values.podLabels .Values.commonLabels) }}
{{- end }}

{{/*
The labels of all other objects.
*/}}
{{- define "registry-webhook.labels" -}}
{{- $own := include "registry-webhook.recommendedLabels" . | fromYaml }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") }}
{{- toYaml (merge $own .Values.commonLabels) }}
{{- end }}

{{/*
Labels and annotations of an object that has no others.
*/}}
{{- define "registry-webhook.marks" -}}
labels:
  {{- include "registry-webhook.labels" . | nindent 2 }}
{{- with .Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
The image for both containers. A digest wins over the tag.
*/}}
{{- define "registry-webhook.image" -}}
{{- $image := .Values.image }}
{{- $tag := $image.tag | default .Chart.AppVersion }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository $tag }}
{{- end }}
{{- end }}

{{/*
The nodes for all Pods.
*/}}
{{- define "registry-webhook.nodes" -}}
nodeSelector:
  {{- merge (dict) .Values.nodeSelector (dict "kubernetes.io/os" "linux") | toYaml | nindent 2 }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "registry-webhook.nodeAffinity" -}}
{{- with .Values.affinity.nodeAffinity }}
{{- toYaml . }}
{{- else }}
{{- /* The architectures of the released image. */ -}}
requiredDuringSchedulingIgnoredDuringExecution:
  nodeSelectorTerms:
    - matchExpressions:
        - key: kubernetes.io/arch
          operator: In
          values: [amd64, arm64]
{{- end }}
{{- end }}

{{/*
A NetworkPolicy that lets the Pod of a hook reach the API server and nothing else.
Call it with (dict "root" $ "name" NAME "component" COMPONENT "marks" LABELS-AND-ANNOTATIONS).
*/}}
{{- define "registry-webhook.hookNetworkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  namespace: {{ .root.Release.Namespace | quote }}
  name: {{ .name | quote }}
  {{- .marks | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
      app.kubernetes.io/component: {{ .component }}
  policyTypes: [Ingress, Egress]
  ingress: []
  egress:
    - ports:
        {{- range .root.Values.networkPolicy.egressPorts }}
        - port: {{ . }}
        {{- end }}
{{- end }}

{{/*
A setting in `config`, by its path; empty if it is not set, or null. A list or mapping is YAML.
Call it with (list . "webhook.on_error").
*/}}
{{- define "registry-webhook.setting" -}}
{{- $at := (index . 0).Values.config }}
{{- range splitList "." (index . 1) }}
{{- if kindIs "map" $at }}{{ $at = index $at . }}{{ else }}{{ $at = "" }}{{ end }}
{{- end }}
{{- with $at }}{{ ternary . (toYaml .) (kindIs "string" .) }}{{ end }}
{{- end }}

{{/*
The name of the pull secret in selected namespaces, from the configuration.
*/}}
{{- define "registry-webhook.pullSecret" -}}
{{- include "registry-webhook.setting" (list . "webhook.pull_secret.name") | default "registry-webhook-pull" }}
{{- end }}

{{/*
The ports. The defaults for host networking are usually free on a node, below the ranges for NodePort Services and
outgoing connections.
*/}}
{{- define "registry-webhook.ports" -}}
{{- $host := .Values.hostNetwork.enabled }}
https: {{ .Values.ports.https | default (ternary 19443 8443 $host) }}
health: {{ .Values.ports.health | default (ternary 19080 8080 $host) }}
refreshHealth: {{ .Values.ports.refreshHealth | default (ternary 19081 8081 $host) }}
{{- end }}

{{/*
Whether a namespace is selected, for the guard policies.
*/}}
{{- define "registry-webhook.selected" -}}
{{- if .Values.clusterWide.enabled -}}
expression: >-
  namespaceObject.metadata.?labels[?'registry-webhook/enabled'].orValue('') != 'false'
  && !(request.namespace in [
  {{- range $n, $name := .Values.clusterWide.denyNamespaces }}{{ if $n }},{{ end }} '{{ $name }}'{{ end }} ]
  {{- range .Values.clusterWide.denyPrefixes }} || request.namespace.startsWith('{{ . }}'){{ end }})
{{- else -}}
expression: namespaceObject.metadata.?labels[?'registry-webhook/enabled'].orValue('') == 'true'
{{- end }}
{{- end }}

{{/*
The registry credential's source: "files" for a Secret with username and password, "docker-config", or "config" if the
configuration names one.
*/}}
{{- define "registry-webhook.credential" -}}
{{- if include "registry-webhook.setting" (list . "webhook.credential") -}}
config
{{- else if .Values.credentials.dockerConfig.name -}}
docker-config
{{- else -}}
files
{{- end }}
{{- end }}

{{/*
The Secret with the registry credential, which the chart creates if the values have username and password.
*/}}
{{- define "registry-webhook.credentialSecret" -}}
{{- .Values.credentials.dockerConfig.name | default .Values.credentials.existingSecret.name | default "registry-webhook-credential" }}
{{- end }}

{{/*
The variables of both containers, because both must report the same configuration hash. They override `config`. They are
variables rather than arguments, so that commands run in a container by hand use them as well.
*/}}
{{- define "registry-webhook.env" -}}
- name: REGISTRY_WEBHOOK_CONFIG
  value: /etc/registry-webhook/config/config.yaml
# The installation's own namespace, which is never selected.
- name: REGISTRY_WEBHOOK_NAMESPACE
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.namespace
{{- if .Values.clusterWide.enabled }}
- name: WEBHOOK__NAMESPACES__MODE
  value: all
- name: WEBHOOK__NAMESPACES__DENY
  value: >-
    {{- $patterns := list }}
    {{- range .Values.clusterWide.denyPrefixes }}{{ $patterns = append $patterns (printf "%s*" .) }}{{ end }}
    {{ concat .Values.clusterWide.denyNamespaces $patterns | join ", " }}
{{- end }}
{{- if .Values.failClosed.enabled }}
- name: WEBHOOK__ON_ERROR
  value: deny
{{- end }}
{{- if not .Values.podOptOut.enabled }}
- name: WEBHOOK__POD_OPT_OUT
  value: ignore
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
