#!/usr/bin/env bash
# The exporter $EXPORTER (an absolute path) after a restart: its calls of the last hour are known,
# so it spends more than the reserve, as it does whenever it has run for an hour. It first runs
# for a minute, unheard. For many_tenants, in the place of the exporter's path.
set -euo pipefail
"$EXPORTER" "$@" 2>/dev/null &
sleep 60
kill -TERM $!
wait $!
exec "$EXPORTER" "$@"
