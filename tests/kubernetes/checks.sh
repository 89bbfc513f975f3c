# The checks, in this order. Each has a namespace of its own, and says what only a cluster shows.

check_install_upgrade_rollback_uninstall() {
    use_namespace lifecycle
    install demo --set demo=true
    shows demo-0 '^defender_scan_status_code\{' >/dev/null
    expect "its user" 65532 "$(stat -c %u "/proc/$(pgrep -x defender-scan-e | head -n 1)")"
    h test demo >/dev/null
    local before calls
    before=$(uid demo-0)
    install demo --set demo=true --set monitor.enabled=true --set prometheusRule.enabled=true --set dashboards.enabled=true --set networkPolicy.enabled=true
    expect "the pod after an upgrade that does not concern it" "$before" "$(uid demo-0)"
    local series='defender_api_requests_total{tenant="demo-1",endpoint="definitions",code="200"}'
    eventually "more calls than at a start" at_least demo-0 "$series" 4
    calls=$(value demo-0 "$series")
    install demo --set demo=true --set podAnnotations.changed=yes
    [ "$(uid demo-0)" != "$before" ] || wrong "expected a new pod after an upgrade that concerns it"
    at_least demo-0 "$series" "$calls" || wrong "expected the new pod to count on from $calls, but found $(value demo-0 "$series")"
    # An image that is not there: the pod cannot start, and a rollback needs no deletion by hand.
    refuses "" h upgrade demo "$chart" --reuse-values --set image.tag=missing --wait --timeout 8s
    eventually "a pod that cannot start" sh -c "kubectl -n $namespace get pod demo-0 -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}' | grep ErrImageNeverPull"
    h rollback demo --wait --timeout 2m >/dev/null
    shows demo-0 '^defender_scan_status_code\{' >/dev/null
    h uninstall demo --wait >/dev/null
    eventually "no pods" sh -c "! kubectl -n $namespace get pods -o name | grep ."
    local left
    left=$(k get all,configmap,secret,serviceaccount,networkpolicy,poddisruptionbudget,persistentvolumeclaim,servicemonitor,prometheusrule,job --output name | grep -vE 'kube-root-ca|serviceaccount/default' | xargs)
    expect "what an uninstallation leaves" persistentvolumeclaim/state-demo-0 "$left"
}

check_random_user() {
    use_namespace openshift
    # As OpenShift does: a user and a file system's group of its own choice, and group 0.
    install demo --set demo=true --set podSecurityContext.runAsUser=1000650000,podSecurityContext.runAsGroup=0,podSecurityContext.fsGroup=1000650000
    shows demo-0 '^defender_scan_status_code\{' >/dev/null
    install state --set demo=true --set persistence.enabled=false --set podSecurityContext.runAsUser=1000650000,podSecurityContext.runAsGroup=0,podSecurityContext.fsGroup=null
    shows state-0 '^defender_scan_status_code\{' >/dev/null
    # The image's own folder.
    k apply -f - >/dev/null <<END
apiVersion: v1
kind: Pod
metadata: {name: image}
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 1000650000, runAsGroup: 0, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: exporter
      image: localhost/defender-scan-exporter:test
      imagePullPolicy: Never
      args: [demo, "--web.listen-address=:10063"]
      readinessProbe: {httpGet: {path: /-/ready, port: 10063}, periodSeconds: 1}
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
END
    k wait --for=condition=Ready pod/image --timeout=2m >/dev/null
    local status
    status=$(grep -l '^Uid:.1000650000' /proc/[0-9]*/status | head -n 1)
    grep -qP '^CapEff:\t0+$' "$status"
    grep -qP '^Seccomp:\t2$' "$status"
    k delete pod image --wait=false >/dev/null
    h uninstall demo state >/dev/null
}

check_plain_manifests() {
    use_namespace plain
    mkdir -p "$work/plain/base"
    cp deploy/kubernetes/* "$work/plain/base"
    cat >"$work/plain/kustomization.yaml" <<END
namespace: plain
resources: [base]
images: [{name: registry.example/defender-scan-exporter, newName: localhost/defender-scan-exporter, newTag: test}]
END
    kubectl apply -k "$work/plain" >/dev/null
    k rollout status statefulset/defender-scan-exporter --timeout=3m >/dev/null
    shows defender-scan-exporter-0 '^defender_scan_status_code\{' >/dev/null
    kubectl delete -k "$work/plain" >/dev/null
}

check_configuration() {
    use_namespace configuration
    simulator 2
    secret
    # One tenant first.
    cp "$simulated/exporter.yml" "$work/both.yml"
    sed -n '/tenant-1$/q;p' "$work/both.yml" >"$simulated/exporter.yml"
    install_tenants exporter
    eventually "the first tenant" shows exporter-0 '^defender_up\{tenant="tenant-0"\} 1'
    local before
    before=$(uid exporter-0)
    # A wrong one is refused before anything changes, with the exporter's own words.
    echo 'tenants: none' >"$simulated/exporter.yml"
    refuses "exporter.yml:1: tenants: expected" install_tenants exporter
    expect "the pod after a refused upgrade" "$before" "$(uid exporter-0)"
    cp "$work/both.yml" "$simulated/exporter.yml"
    install_tenants exporter
    eventually "the second tenant, by a swap of ..data" shows exporter-0 '^defender_up\{tenant="tenant-1"\} 1'
    expect "the pod after a reload" "$before 0" "$(uid exporter-0) $(restarts exporter-0)"
    # By hand, past Helm: the old one stays, and says so.
    k patch configmap exporter --patch '{"data": {"exporter.yml": "tenants: none"}}' >/dev/null
    eventually "a reload that failed" shows exporter-0 '^defender_exporter_config_last_reload_successful 0'
    shows exporter-0 '^defender_up\{tenant="tenant-1"\} 1' >/dev/null
    jq --raw-input --slurp '{data: {"exporter.yml": .}}' "$work/both.yml" >"$work/patch.json"
    k patch configmap exporter --patch-file "$work/patch.json" >/dev/null
    eventually "a reload that works" shows exporter-0 '^defender_exporter_config_last_reload_successful 1'
    expect "the pod" "$before 0" "$(uid exporter-0) $(restarts exporter-0)"
    # A missing file is named by the check; a pod would only wait.
    sed 's/tenant-1$/tenant-9/' "$work/both.yml" >"$work/missing.yml"
    refuses "/run/secrets/defender/tenant-9" install_tenants other --set-file config="$work/missing.yml"
    h uninstall exporter other >/dev/null 2>&1 || true
}

check_secret() {
    use_namespace rotation
    simulator 1
    local right
    right=$(cat "$simulated/secrets/tenant-0")
    echo "wrong-on-purpose" >"$simulated/secrets/tenant-0"
    secret
    install_tenants exporter
    eventually "a sign-in that fails" shows exporter-0 '^defender_up\{tenant="tenant-0"\} 0'
    printf %s "$right" >"$simulated/secrets/tenant-0"
    secret
    eventually "a sign-in with the new secret" shows exporter-0 '^defender_up\{tenant="tenant-0"\} 1'
    expect "restarts" 0 "$(restarts exporter-0)"
    if k logs exporter-0 | grep -qF -e "$right" -e wrong-on-purpose; then wrong "a secret is in the log"; fi
    h uninstall exporter >/dev/null
}

# Whether each tenant is polled by exactly one of so many pods: TENANTS PODS
shared_out() {
    local pod all=
    for pod in $(seq 0 $(($2 - 1))); do
        all+=$(metrics "exporter-$pod" | sed -n 's/^defender_up{tenant="\([^"]*\)"} 1$/\1 /p')
    done
    [ "$(tr ' ' '\n' <<<"$all" | sort | uniq | grep -c .)" -eq "$1" ] && [ "$(wc -w <<<"$all")" -eq "$1" ]
}

check_shards() {
    use_namespace shards
    simulator 8
    secret
    install_tenants exporter
    eventually "all tenants on one pod" shared_out 8 1
    local before
    before=$(calls)
    install_tenants exporter --set shards=3
    eventually "each tenant on one of three pods" shared_out 8 3
    k get poddisruptionbudget exporter >/dev/null
    [ "$(calls)" -gt "$before" ] || wrong "expected calls meanwhile"
    install_tenants exporter --set shards=1
    eventually "all tenants on one pod again" shared_out 8 1
    expect "calls beyond a budget" 0 "$(report | jq .violations)"
    expect "misplaced secrets" 0 "$(report | jq .misplaced)"
    say "shards 1, 3, 1: $(report)"
    h uninstall exporter >/dev/null
}

# Leaves a container no more memory than it has, and starts a small process there: the kernel kills
# the largest, the exporter. CONTAINER
squeeze() {
    local file
    for file in $(find /sys/fs/cgroup -path "*$1*" \( -name memory.limit_in_bytes -o -name memory.max \)); do
        # It may be busy, and the next time not.
        cat "$(dirname "$file")"/memory.{usage_in_bytes,current} 2>/dev/null >"$file" || true
    done
    timeout 10 kubectl --namespace "$namespace" exec exporter-0 -- /defender-scan-exporter healthcheck || true
    k get pod exporter-0 --output 'jsonpath={.status.containerStatuses[0].lastState.terminated.reason}' | grep OOMKilled
}

check_losses() {
    use_namespace losses
    simulator 1
    secret
    install_tenants exporter
    eventually "the tenant" shows exporter-0 '^defender_up\{tenant="tenant-0"\} 1'
    local series='defender_api_requests_total{tenant="tenant-0",endpoint="definitions",code="200"}' used='defender_api_quota_used{tenant="tenant-0",window="hour"}' before counted
    # What the first scrape says is what was kept: later ones count new calls too.
    keeps() {
        eventually "a scrape $1" at_least exporter-0 "$series" 1
        at_least exporter-0 "$series" "$before" || wrong "expected $before calls or more $1, but found $(value exporter-0 "$series")"
        at_least exporter-0 "$used" "$counted" || wrong "expected a budget of which $counted or more are used $1, but found $(value exporter-0 "$used")"
    }
    remember() { before=$(value exporter-0 "$series") counted=$(value exporter-0 "$used"); }
    eventually "some calls" at_least exporter-0 "$series" 4
    remember
    k delete pod exporter-0 --grace-period=0 --force >/dev/null 2>&1
    keeps "after a deletion by force"
    remember
    local container
    container=$(k get pod exporter-0 --output 'jsonpath={.status.containerStatuses[0].containerID}')
    eventually "a container that is killed for memory" squeeze "${container##*/}"
    keeps "after a kill for memory"
    remember
    kubectl drain node --ignore-daemonsets --force --delete-emptydir-data --timeout=90s --pod-selector=app.kubernetes.io/instance=exporter >/dev/null 2>&1
    eventually "no pod on a drained node" sh -c "! kubectl -n $namespace get pod exporter-0 -o jsonpath='{.status.podIP}' | grep ."
    kubectl uncordon node >/dev/null
    keeps "after a drain"
    expect "calls beyond a budget" 0 "$(report | jq .violations)"
    h uninstall exporter >/dev/null
}

check_workload_identity() {
    use_namespace identity
    kubectl get --raw /openid/v1/jwks |
        jq '{issuer: "https://kubernetes.default.svc", subject: "system:serviceaccount:identity:exporter", audience: "api://AzureADTokenExchange", keys: .}' >"$work/federation.json"
    simulator 1 "$work/federation.json"
    local client
    client=$(sed -n 's/^ *client_id: //p' "$simulated/exporter.yml")
    # The credential's defaults are the variables that the chart sets.
    sed -i -e 's/type: client_secret/type: workload_identity/' -e '/client_id:/d' -e '/client_secret_file:/d' "$simulated/exporter.yml"
    secret
    local values=(--set workloadIdentity.enabled=true,workloadIdentity.projectToken=true --set workloadIdentity.clientId="$client")
    install_tenants exporter "${values[@]}"
    eventually "a sign-in with the cluster's own token" shows exporter-0 '^defender_up\{tenant="tenant-0"\} 1'
    # Another service account is not the one that is trusted.
    install_tenants other "${values[@]}"
    eventually "a sign-in that is refused" shows other-0 '^defender_up\{tenant="tenant-0"\} 0'
    k logs other-0 | grep -q AADSTS700213
    # A token for somebody else neither.
    install_tenants exporter "${values[@]}" --set workloadIdentity.audience=api://Other --set podAnnotations.again=yes
    eventually "a sign-in that is refused" sh -c "kubectl -n $namespace logs exporter-0 | grep AADSTS700212"
    h uninstall exporter other >/dev/null
}

check_web_config() {
    use_namespace web
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=exporter -keyout "$work/tls.key" -out "$work/tls.crt" \
        -addext "subjectAltName=DNS:exporter.web.svc,DNS:exporter" 2>/dev/null
    cp "$work/tls.crt" "$work/ca.crt"
    k create secret generic exporter-tls --from-file="$work/tls.key" --from-file="$work/tls.crt" --from-file="$work/ca.crt" >/dev/null
    k create secret generic scrape --from-literal=username=prometheus --from-literal=password=right >/dev/null
    cat >"$work/web.yaml" <<END
demo: true
webConfig:
  config:
    tls_server_config: {cert_file: tls.crt, key_file: tls.key}
    basic_auth_users: {prometheus: $(perl -e 'print crypt("right", q($2y$10$abcdefghijklmnopqrstuu))')}
  secrets: [exporter-tls]
monitor:
  enabled: true
  interval: 5s
  scrapeTimeout: 5s
  basicAuth:
    username: {name: scrape, key: username}
    password: {name: scrape, key: password}
END
    install exporter --values "$work/web.yaml"
    expect "without a password" 401 "$(curl -sk -o /dev/null -w '%{http_code}' "https://$(address exporter-0):10063/metrics")"
    h test exporter >/dev/null
    local PATIENCE=300
    eventually "a scrape over TLS, with a password" query 'up{namespace="web",instance="web/exporter-0"} == 1'
    # A file that is wrong is refused beforehand.
    refuses "web-config.yml" install exporter --values "$work/web.yaml" --set webConfig.config.tls_server_config.min_version=TLS10
    h uninstall exporter >/dev/null
}

check_monitoring() {
    use_namespace monitored
    # Two releases in one namespace: each by another kind of monitor.
    # The operator's config-reloader misses a change that comes while it reloads, for three minutes.
    local PATIENCE=300
    install one --set demo=true --set monitor.enabled=true,monitor.interval=5s,monitor.scrapeTimeout=5s --set prometheusRule.enabled=true --set dashboards.enabled=true
    is_scraped() { query "up{job=\"defender-scan-exporter\",namespace=\"$1\",pod=\"$2\",instance=\"$1/$2\"} == 1"; }
    eventually "a scrape of the first" is_scraped monitored one-0
    install two --set demo=true --set monitor.enabled=true,monitor.interval=5s,monitor.scrapeTimeout=5s,monitor.kind=PodMonitor
    # A namesake of the first elsewhere: alerts about one must not hide behind the other.
    use_namespace elsewhere
    install one --set demo=true --set monitor.enabled=true,monitor.interval=5s,monitor.scrapeTimeout=5s
    namespace=monitored
    eventually "a scrape of the second" is_scraped monitored two-0
    eventually "a scrape of the first's namesake" is_scraped elsewhere one-0
    helm --namespace elsewhere uninstall one >/dev/null
    expect "targets of the two releases" 2 "$(prometheus query --data-urlencode 'query=count(up{namespace="monitored"})' | jq -r '.data.result[0].value[1]')"
    local name
    for name in fleet definition exporter; do
        k get configmap "one-$name" --output json | jq -j ".data[\"defender-$name.json\"]" | cmp - "dashboards/$name.json"
    done
    # The rules are in force, without an error; one of them fires and reaches a webhook.
    eventually "rules without an error" sh -c "curl -sf http://$(kubectl -n monitoring get pod prometheus-main-0 -o 'jsonpath={.status.podIP}'):9090/api/v1/rules | jq -e '[.data.groups[] | select(.file | contains(\"monitored-one\")) | .rules[]] | length > 20 and all(.health != \"err\") and (map(select(.health == \"ok\")) | length > 20)'"
    python3 -u -c '
import http.server
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("'$node'", 19099), Hook).serve_forever()' >"$work/webhook.log" 2>/dev/null &
    local restart process
    for restart in 1 2 3 4; do
        process=$(value one-0 process_start_time_seconds)
        eventually "a scrape before restart $restart" query "process_start_time_seconds{pod=\"one-0\"} == $process"
        k delete pod one-0 --grace-period=0 --force >/dev/null 2>&1
        eventually "a pod after restart $restart" shows one-0 '^process_start_time_seconds'
    done
    eventually "an alert that reaches the webhook" grep -q '"alertname":"DefenderExporterRestarting".*"instance":"monitored/one-0"' "$work/webhook.log"
    # Deleting one release leaves the other alone.
    local before
    before=$(uid two-0)
    h uninstall one >/dev/null
    eventually "no pod of the first release" sh -c "! kubectl -n $namespace get pod one-0"
    expect "the other release's pod" "$before" "$(uid two-0)"
    h uninstall two >/dev/null
}

check_clear_outcomes() {
    use_namespace bounded
    refuses 'no matches for kind "GrafanaDashboard"' install demo --set demo=true --set dashboards.enabled=true --set dashboards.kind=GrafanaDashboard
    k create quota small --hard=requests.memory=10Mi >/dev/null
    refuses "" install demo --set demo=true --timeout 5s
    eventually "an event that names the quota" sh -c "kubectl -n $namespace get events | grep 'exceeded quota: small'"
    k delete quota small >/dev/null
    h uninstall demo >/dev/null
    k apply -f - >/dev/null <<END
apiVersion: v1
kind: LimitRange
metadata: {name: limits}
spec: {limits: [{type: Container, max: {memory: 100Mi}}]}
END
    refuses "" install demo --set demo=true --timeout 5s
    eventually "an event that names the limit" sh -c "kubectl -n $namespace get events | grep 'maximum memory usage per Container is 100Mi'"
    install demo --set demo=true --set resources.limits.memory=90Mi
    shows demo-0 '^defender_scan_status_code\{' >/dev/null
    h uninstall demo >/dev/null
}
