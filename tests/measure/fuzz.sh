#!/usr/bin/env bash
# Ten minutes of libFuzzer for each target, and what came of it as a table.
#
#   fuzz.sh [TARGET…]     FUZZ_SECONDS chooses the time for each
#
# Wants `rustup toolchain install nightly` and `cargo install cargo-fuzz`. What it finds worth keeping
# stays in fuzz/target/corpus; what breaks a target, in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${FUZZ_SECONDS:-600}
[ $# -gt 0 ] || mapfile -t all < <(cargo +nightly fuzz list)
[ $# -gt 0 ] || set -- "${all[@]}"
cargo +nightly fuzz build

rows=$'| target | inputs | edges covered | most memory |\n| --- | --: | --: | --: |'
for target; do
    grown=fuzz/target/corpus/$target
    log=fuzz/target/$target.log
    mkdir -p "$grown"
    # New inputs go into the first folder.
    cargo +nightly fuzz run "$target" "$grown" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=30 -print_final_stats=1 >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        exit 1
    }
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d ' ' -f 2)
    rows+=$'\n'"| \`$target\` | $(stat number_of_executed_units) | $edges | $(stat peak_rss_mb) MiB |"
done
printf '%s\n' "$rows"
