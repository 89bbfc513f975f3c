#!/usr/bin/env bash
# Draws docs/status-light.png and docs/status-dark.png: the status page of the
# real binary over the simulator, in a real Chromium (Debian's packages chromium,
# chromium-driver and fonts-dejavu-core).
set -euo pipefail
cd "$(dirname "$0")/.."
REQUIRE_TOOLS=1 cargo test --locked --test suite -- --ignored --exact browser::pictures::pictures_for_the_documentation
