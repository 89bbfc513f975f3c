#!/usr/bin/env bash
# Refuses while the alerts link to runbooks under .example, which nobody can open. The address
# stands in one place: the first record of the rules.
#
#   release/addresses.sh [RULES]
set -euo pipefail
rules=${1:-$(dirname "$0")/../alerts/defender-scan.rules.yml}
address=$(sed -n 's/^ *runbooks: *//p' "$rules")
case $address in
https://*.example | https://*.example/* | '')
    echo "expected the public address of the runbooks in $rules, but found \"$address\"; replace it there" >&2
    exit 1
    ;;
esac
