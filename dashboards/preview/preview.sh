#!/usr/bin/env bash
# Draws the dashboards without a Grafana, with the libraries of Grafana's own front end, over a real
# Prometheus that holds made-up data and what the project's rules record of it; and times their queries.
#
#   preview.sh draw DASHBOARD.json OUT.png [small|big|calm] [light|dark] [further query, such as '&rows=open']
#   preview.sh cost [big|huge]     processor time of the queries, one after the other
#   preview.sh pictures [KIND]     docs/dashboard-*.png, of kind small if none is named
#
# small: 1 tenant with 6 definitions, 7 days; calm: the same, and nothing wrong; big: 20 tenants with 150
# definitions each, 26 hours; huge: 200 tenants with 150 each, 2 hours. Needs node, npm, python3 with
# PyYAML, chromium, and Debian's prometheus. Everything lands in target/preview. What Grafana's packages
# do not hold is written here after Grafana: the boxes of state timelines. Annotations are not drawn.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=$root/target/preview
mkdir -p "$dir"
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait' EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Starts a Prometheus that holds the data of a kind; sets url, end, scrape and hours.
start_prometheus() {
    local kind=$1 port fresh=
    port=$(free_port) url=http://127.0.0.1:$port scrape=60 hours=24
    case $kind in big) scrape=240 ;; huge) scrape=240 hours=2 ;; esac
    # Made anew when it is older than two hours: dashboards show the last day.
    if [ -z "$(find "$dir/$kind.end" -mmin -120 2>/dev/null)" ]; then
        fresh=1
        rm -rf "$dir/tsdb-$kind" "$dir/$kind.end"
        python3 "$here/data.py" "$kind" "$dir/$kind.om" >"$dir/$kind.new"
        promtool tsdb create-blocks-from openmetrics --quiet --max-block-duration=162h "$dir/$kind.om" "$dir/tsdb-$kind"
        rm "$dir/$kind.om"
    fi
    echo 'storage: {tsdb: {out_of_order_time_window: 30d}}' >"$dir/prometheus.yml"
    prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/tsdb-$kind" --storage.tsdb.retention.time=10y \
        --query.max-samples=500000000 --query.timeout=1h --web.enable-remote-write-receiver --web.cors.origin='.*' \
        --web.listen-address="127.0.0.1:$port" >"$dir/prometheus.log" 2>&1 &
    pids+=($!)
    for _ in $(seq 3000); do curl -sf "$url/-/ready" >/dev/null && break; sleep 0.2; done
    if [ -n "$fresh" ]; then
        end=$(tail -n 1 "$dir/$kind.new")
        local back=$((26 * 3600))
        case $kind in small | calm) back=$((7 * 86400)) ;; esac
        python3 "$here/record.py" "$url" $((end - back)) "$end" 240
        mv "$dir/$kind.new" "$dir/$kind.end"
    fi
    end=$(tail -n 1 "$dir/$kind.end")
}

build_viewer() {
    if [ ! -e "$dir/dist/index.html" ] || [ -n "$(find "$here/grafana" -newer "$dir/dist/index.html" -print -quit)" ]; then
        cp -r "$here/grafana/." "$dir"
        (
            cd "$dir"
            npm install --no-audit --no-fund --ignore-scripts --legacy-peer-deps --loglevel=error
            mkdir -p public/public/build public/public/fonts/inter
            cp -r node_modules/@grafana/ui/dist/public/img public/public/build/ 2>/dev/null || true
            for weight in 400:Regular 500:Medium; do
                cp "node_modules/@fontsource/inter/files/inter-latin-${weight%:*}-normal.woff2" "public/public/fonts/inter/Inter-${weight#*:}.woff2"
            done
            npx vite build >build.log 2>&1 || { tail -n 30 build.log >&2; exit 1; }
        )
    fi
    local port
    port=$(free_port) viewer=http://127.0.0.1:$port
    (cd "$dir/dist" && exec python3 -m http.server --bind 127.0.0.1 "$port" >/dev/null 2>&1) &
    pids+=($!)
    for _ in $(seq 50); do curl -sf "$viewer" >/dev/null && break; sleep 0.1; done
}

draw() {
    local board=$1 out=$2 theme=$3 more=${4:-}
    cp "$board" "$dir/dist/shown-$$.json"
    (cd "$dir" && node shot.mjs "$out" "$viewer/?dash=shown-$$.json&prom=$url&scrape=$scrape&to=${end}000&theme=$theme$more" "${WIDTH:-1600}")
    rm "$dir/dist/shown-$$.json"
}

case ${1:-} in
draw)
    board=$(readlink -f "$2") out=$(readlink -m "$3")
    start_prometheus "${4:-small}"
    build_viewer
    draw "$board" "$out" "${5:-light}" "${6:-}"
    ;;
pictures)
    start_prometheus "${2:-small}"
    build_viewer
    for board in fleet definition exporter; do
        for theme in light dark; do
            draw "$root/dashboards/$board.json" "$root/docs/dashboard-$board-$theme.png" "$theme"
        done
    done
    ;;
cost)
    start_prometheus "${2:-big}"
    python3 "$here/cost.py" "$url" "$end" "$scrape" "$hours" "$root"/dashboards/{fleet,definition,exporter}.json
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
