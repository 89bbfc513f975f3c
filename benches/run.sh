#!/usr/bin/env bash
# Prints the tables of docs/performance.md: run.sh [DEFINITIONS...]. All is built as the
# program is shipped; PROFILE=bench builds sooner, and measures what is slower.
# Wants Debian's wrk, nginx-light and curl, and Go 1.26 with a module proxy. Other exporters
# come from Debian's next release; nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 1000 10000 100000
profile=${PROFILE:-dist}
# Cargo puts what profile `bench` builds where it puts that of `release`.
built=target/${profile/#bench/release}

for tool in wrk curl python3 go /usr/sbin/nginx; do
    command -v "$tool" >/dev/null || {
        echo "expected $tool, but found none; install wrk, nginx-light, curl, python3 and Go" >&2
        exit 1
    }
done
python=python3
"$python" -c 'import prometheus_client' 2>/dev/null || {
    [ -x target/python/bin/python3 ] || python3 -m venv target/python
    target/python/bin/pip install --quiet --disable-pip-version-check prometheus-client==0.22.1
    python=target/python/bin/python3
}
mkdir -p target/peers
(cd benches/peers/client_golang && go build -o ../../../target/peers/client_golang .)
tests/newer.sh target/peers/newer prometheus-blackbox-exporter prometheus-elasticsearch-exporter >/dev/null
cargo build --locked --profile "$profile" --bin defender-scan-exporter --example many_tenants
cargo bench --locked --profile "$profile" --no-run --bench speed

echo "$(date -u +%F), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), load $(cut -d ' ' -f 1 /proc/loadavg), $(rustc --version), $(go version | cut -d ' ' -f 3)"
echo
cargo bench --quiet --locked --profile "$profile" --bench speed -- "$@" | tee target/peers/speed.md

printf '\n| a scrape elsewhere | definitions | processor time | ÷ our warm scrape |\n| --- | --: | --: | --: |\n'
for definitions; do
    ours=$(sed -n "s/^| warm scrape | $definitions | \([0-9.]*\) ms | memcpy.*/\1/p" target/peers/speed.md)
    for peer in "Go client_golang" "PyPI prometheus_client"; do
        case $peer in
        Go*) seconds=$(target/peers/client_golang "$definitions") ;;
        *) seconds=$("$python" benches/peers/pypi.py "$definitions") ;;
        esac
        awk -v peer="$peer" -v n="$definitions" -v s="$seconds" -v ours="$ours" \
            'BEGIN { printf "| %s | %d | %.1f ms | %.0f |\n", peer, n, s * 1000, s * 1000 / ours }'
    done
done

echo
program=$built/defender-scan-exporter
python3 benches/idle.py "$program" target/peers/newer
for definitions; do
    tenants=$(((definitions + 9999) / 10000))
    echo
    "$built/examples/many_tenants" "$PWD/$program" "$tenants" $((definitions / tenants)) \
        "${SECONDS_AT_REST:-60}" benches/end_to_end.py
done

echo
"$built/examples/many_tenants" "$PWD/$program" 1000 100 "${SECONDS_AT_REST:-60}"
printf '\n10 000 and 1 000 tenants in files of a hundred:\n\n'
tests/measure/tenant_files.py "$program"
printf '\nA start with 100 000 definitions in the state:\n\n'
tests/measure/restart.py "$program"
