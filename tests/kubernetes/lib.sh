# What the checks share. A check is a function that ends the script where something is wrong.
chart=deploy/helm/defender-scan-exporter
work=$run/work
node=10.243.0.1
current=
mkdir -p "$work"

wrong() {
    {
        echo "FAILED: $current: $1"
        cat "$work/simulator.log" 2>/dev/null || true
        kubectl get pods --all-namespaces --output wide || true
        kubectl get events --all-namespaces --sort-by=.lastTimestamp 2>/dev/null | tail -n 15 || true
        for pod in $(kubectl get pods --namespace "${namespace:-default}" --output name 2>/dev/null); do
            echo "-- $pod"
            kubectl logs --namespace "${namespace:-default}" "$pod" --all-containers --tail=12 || true
        done
    } >&2
    exit 1
}
trap 'wrong "a command failed in line ${BASH_LINENO[0]}: $BASH_COMMAND"' ERR
set -E

# WHAT EXPECTED FOUND
expect() { [ "$2" = "$3" ] || wrong "expected $1 to be $2, but found $3"; }

# Waits for a condition, for three minutes at most: WHAT COMMAND...
eventually() {
    local what=$1 end=$((SECONDS + ${PATIENCE:-180}))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || wrong "expected $what, but found none in ${PATIENCE:-180} s: $*"
        sleep 0.5
    done
}

# The command must fail, and say the text: TEXT COMMAND...
refuses() {
    local text=$1 said
    shift
    if said=$("$@" 2>&1); then wrong "expected a failure that says '$text', but it worked: $*"; fi
    grep -qF -- "$text" <<<"$said" || wrong "expected a failure that says '$text', but found: $said"
}

# A namespace in which Pod Security enforces its strictest level; later commands are about it.
use_namespace() {
    namespace=$1
    kubectl create namespace "$namespace" >/dev/null
    kubectl label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted >/dev/null
}
k() { kubectl --namespace "$namespace" "$@"; }
h() { helm --namespace "$namespace" "$@"; }

# RELEASE VALUES...
install() {
    local release=$1
    shift
    h upgrade --install "$release" "$chart" --wait --timeout 3m --set image.repository=localhost/defender-scan-exporter \
        --set image.tag=test --set image.pullPolicy=Never --set fullnameOverride="$release" "$@" >/dev/null
}
uid() { k get pod "$1" --output 'jsonpath={.metadata.uid}'; }
address() { k get pod "$1" --output 'jsonpath={.status.podIP}'; }
metrics() { curl -sf --max-time 10 "http://$(address "$1"):10063/metrics"; }
# POD PATTERN: whether a line of the metrics fits.
shows() { metrics "$1" | grep -E "$2"; }
# POD SERIES: its value.
value() { metrics "$1" | awk -v name="$2" 'index($0, name " ") == 1 { print $NF }'; }
at_least() { awk -v now="$(value "$1" "$2")" -v least="$3" 'BEGIN { exit !(now != "" && now >= least) }'; }
restarts() { k get pod "$1" --output 'jsonpath={.status.containerStatuses[0].restartCount}'; }

prometheus() {
    curl -sfG --max-time 10 "http://$(kubectl --namespace monitoring get pod prometheus-main-0 --output 'jsonpath={.status.podIP}'):9090/api/v1/$1" "${@:2}"
}
# QUERY: whether it has a result.
query() { prometheus query --data-urlencode "query=$1" | jq -e '.data.result | length > 0'; }

# The simulator, on the node, with so many tenants: TENANTS [FEDERATION]. Its files are in $simulated.
simulator() {
    simulated=$work/simulated
    stop_simulator
    rm -rf "$simulated"
    setsid "$SIMULATOR" "$1" $node:18443 127.0.0.1:18090 "$simulated" ${2:+"$2"} >"$work/simulator.log" 2>&1 &
    simulator_process=$!
    eventually "the simulator" test -e "$simulated/exporter.yml"
    eventually "the simulator" report
}
stop_simulator() {
    [ -z "${simulator_process:-}" ] || kill "$simulator_process"
    simulator_process=
}
report() { curl -sf --max-time 5 http://127.0.0.1:18090/; }
calls() { report | jq "[.calls[]] | add // 0"; }
secret() {
    k create secret generic defender --from-file="$simulated/secrets" --dry-run=client --output yaml | k apply -f - >/dev/null
}
# Installs with the simulator's tenants: RELEASE VALUES...
install_tenants() {
    install "$1" --set existingSecret=defender --set-file config="$simulated/exporter.yml" --set autoReloadInterval=1s \
        --set 'hostAliases[0].ip='$node --set 'hostAliases[0].hostnames[0]=simulator.test' "${@:2}"
}
