#!/usr/bin/env bash
# The set-up of deploy/compose without containers, and without Grafana: the demo, and Debian's
# Prometheus and Alertmanager with our rules, on loopback. Ctrl-C ends all of them.
#
#   EXPORTER           the binary; by default it is built
#   EXPORTER_PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
exporter_port=${EXPORTER_PORT:-10063}
prometheus_port=${PROMETHEUS_PORT:-9090}
alertmanager_port=${ALERTMANAGER_PORT:-9093}

for program in prometheus prometheus-alertmanager curl; do
    command -v "$program" >/dev/null || {
        echo "expected $program, but found none; apt-get install prometheus prometheus-alertmanager curl" >&2
        exit 1
    }
done
if [ -z "${EXPORTER:-}" ]; then
    cargo build --release --locked --manifest-path "$project/Cargo.toml"
    EXPORTER=$project/target/release/defender-scan-exporter
fi

# Checked first: a server that cannot listen would say so in its log only.
for name in exporter prometheus alertmanager; do
    variable=${name}_port
    port=${!variable}
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "expected port $port to be free for $name, but found it in use; set ${variable^^} to another" >&2
        exit 1
    fi
done

folder=$(mktemp -d)
end() {
    trap - EXIT INT TERM
    local processes
    processes=$(jobs -p)
    # Unquoted: one word a process.
    # shellcheck disable=SC2086
    [ -z "$processes" ] || kill $processes 2>/dev/null || true
    # Nobody waits for ever at Ctrl-C: what takes longer than 15 s is not asked again.
    for _ in $(seq 60); do
        processes=$(jobs -pr)
        [ -n "$processes" ] || break
        sleep 0.25
    done
    # shellcheck disable=SC2086
    [ -z "$processes" ] || kill -KILL $processes 2>/dev/null || true
    wait
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 0' INT TERM

sed -e "s/exporter:10063/127.0.0.1:$exporter_port/" \
    -e "s/alertmanager:9093/127.0.0.1:$alertmanager_port/" \
    "$project/deploy/compose/prometheus.yml" >"$folder/prometheus.yml"
# The rules as they are shipped, but for their patience: a demo's alerts should fire at once.
sed 's/^\( *for:\) .*/\1 15s/' "$project/alerts/defender-scan.rules.yml" >"$folder/defender-scan.rules.yml"

cd "$folder"
"$EXPORTER" demo --web.listen-address="127.0.0.1:$exporter_port" >exporter.log 2>&1 &
prometheus-alertmanager --config.file="$project/alerts/alertmanager.example.yml" --storage.path=alertmanager \
    --web.listen-address="127.0.0.1:$alertmanager_port" --cluster.listen-address= >alertmanager.log 2>&1 &
prometheus --config.file=prometheus.yml --storage.tsdb.path=prometheus \
    --web.listen-address="127.0.0.1:$prometheus_port" >prometheus.log 2>&1 &

# Waits until a server is ready; says what it logged if it ended, or is not ready within a minute.
ready() {
    local name=$1 url=$2
    for _ in $(seq 240); do
        curl --silent --fail --max-time 2 --output /dev/null "$url/-/ready" && return
        [ "$(jobs -pr | wc -l)" -eq 3 ] || break
        sleep 0.25
    done
    echo "expected $name to be ready on $url, but it is not" >&2
    tail -n 5 ./*.log >&2
    exit 1
}
ready exporter "http://127.0.0.1:$exporter_port"
ready alertmanager "http://127.0.0.1:$alertmanager_port"
ready prometheus "http://127.0.0.1:$prometheus_port"

cat <<END
  exporter      http://127.0.0.1:$exporter_port/
  alerts        http://127.0.0.1:$prometheus_port/alerts
  Prometheus    http://127.0.0.1:$prometheus_port/
  Alertmanager  http://127.0.0.1:$alertmanager_port/
Logs are in $folder until the end. Stop all of them with Ctrl-C.
END
# Ends with the first of them that ends by itself.
wait -n
echo "expected all three to run, but one has ended" >&2
tail -n 5 ./*.log >&2
exit 1
