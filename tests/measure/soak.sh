#!/usr/bin/env bash
# A quarter of an hour of everything at once; `SOAK_SEED` and `SOAK_SECONDS` choose.
set -euo pipefail
cd "$(dirname "$0")/../.."
export REQUIRE_TOOLS=1 SOAK_SECONDS="${SOAK_SECONDS:-900}" SOAK_SEED="${SOAK_SEED:-$RANDOM}"
cargo test --locked --test soak -- --nocapture
