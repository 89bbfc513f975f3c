#!/usr/bin/env bash
# Starts the cluster, and runs the checks on it; run by `run.sh`, in namespaces that end with it.
# Exit code 3: there is no cluster.
set -euo pipefail
. tests/kubernetes/environment.sh

cluster() { tests/kubernetes/cluster.sh "$@"; }

# `/run` and `/var/lib/cni` are the machine's: nothing of ours is to stay there.
mount -t tmpfs tmpfs /run
mkdir -p /var/lib/cni
mount -t tmpfs tmpfs /var/lib/cni
{ cluster up && cluster operator; } || {
    tail -n 5 "$run"/*.log >&2 || true
    exit 3
}
cluster image localhost/defender-scan-exporter:test --dockerfile "$BINARY"
kubectl apply -f tests/kubernetes/monitoring.yaml >/dev/null
. tests/kubernetes/lib.sh
. tests/kubernetes/checks.sh
if [ $# -eq 0 ]; then
    mapfile -t checks < <(sed -n 's/^\(check_[a-z_]*\)() {$/\1/p' tests/kubernetes/checks.sh)
else
    checks=("$@")
fi
for check in "${checks[@]}"; do
    began=$SECONDS
    current=$check
    "$check"
    say "$check: ok, $((SECONDS - began)) s"
done
say "all ${#checks[@]} checks on Kubernetes $kubernetes are green"
