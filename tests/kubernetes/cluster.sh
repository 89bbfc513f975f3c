#!/usr/bin/env bash
# A real Kubernetes of one node, from the Go module proxy and Debian's packages: etcd, API server,
# controllers, scheduler, kubelet with containerd, kube-proxy, CoreDNS, and prometheus-operator. Pods
# run; Services, DNS, probes, volumes, Pod Security admission, logs and exec work.
#
#   cluster.sh build                     compiles what is missing: 15 minutes on 2 cores for all of it
#   cluster.sh up                        starts the cluster
#   cluster.sh operator                  starts prometheus-operator beside it, with its images
#   cluster.sh image NAME CONFIG …       makes and imports an image: see image.py
#
# Run all but `build` inside of `run.sh`, whose namespaces take everything down again. Programs are
# kept in target/kubernetes. The node is 10.243.0.1, pods are in 10.244.0.0/24, services in 10.96.0.0/16.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/environment.sh"
etcd=v3.6.16 containerd=v2.3.7 coredns=v1.12.4 operator=v0.85.0
prometheus=v0.316.0 alertmanager=v0.31.0
node=10.243.0.1 dns=10.96.0.10

packages() {
    local wanted=(ca-certificates conntrack containernetworking-plugins curl gcc iproute2 iptables jq libc6-dev openssl python3 runc
        socat util-linux)
    dpkg-query -W "${wanted[@]}" >/dev/null 2>&1 && return
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${wanted[@]}" >/dev/null
}

# A module whose main packages are built from outside it: its own `replace` lines have to be said again.
build_from() {
    local folder=$state/build/$1
    shift
    mkdir -p "$folder"
    (
        cd "$folder"
        cat >go.mod
        go mod tidy 2>/dev/null
        go build -ldflags "-s -w ${LDFLAGS:-}" -o "${OUTPUT:-$bin}/" "$@"
    )
}

# What `kubectl version` and a chart's kubeVersion see.
version_flags() {
    local minor=${kubernetes#v1.} package
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        printf -- '-X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s ' $package "$kubernetes" $package $package "${minor%%.*}"
    done
}

build() {
    packages
    mkdir -p "$bin" "$kube" "$state/build"
    [ -x "$kube/kubelet" ] || {
        say "kubernetes $kubernetes"
        go mod download "k8s.io/kubernetes@$kubernetes"
        local main=k8s.io/kubernetes/cmd
        {
            printf 'module kube\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$kubernetes"
            sed -n -E 's#^\s+(k8s\.io/[a-z-]+) v0\.0\.0( //.*)?$#\1#p' "$(go list -m -f '{{.Dir}}' "k8s.io/kubernetes@$kubernetes" 2>/dev/null || echo "$(go env GOMODCACHE)/k8s.io/kubernetes@$kubernetes")/go.mod" |
                sort -u | sed "s#.*#\t& => & v0.${kubernetes#v1.}#"
            printf ')\n\ntool (\n'
            printf '\t%s/%s\n' "$main" kube-apiserver "$main" kube-controller-manager "$main" kube-scheduler "$main" kube-proxy "$main" kubelet "$main" kubectl
            printf ')\n'
        } | LDFLAGS=$(version_flags) OUTPUT=$kube build_from kubernetes $main/kube-apiserver $main/kube-controller-manager $main/kube-scheduler $main/kube-proxy $main/kubelet $main/kubectl
    }
    [ -x "$bin/etcd" ] || {
        say "etcd $etcd"
        mkdir -p "$state/build/etcd"
        printf 'package main\n\nimport (\n\t"os"\n\n\t"go.etcd.io/etcd/server/v3/etcdmain"\n)\n\nfunc main() { etcdmain.Main(os.Args) }\n' >"$state/build/etcd/main.go"
        printf 'module etcd\n\ngo 1.26.0\n\nrequire go.etcd.io/etcd/server/v3 %s\n' "$etcd" | build_from etcd .
    }
    [ -x "$bin/operator" ] || {
        say "prometheus-operator $operator"
        local main=github.com/prometheus-operator/prometheus-operator
        printf 'module operator\n\ngo 1.26.0\n\nrequire %s %s\n\nreplace (\n\t%s => %s %s\n\t%s => %s %s\n)\n\ntool (\n\t%s\n\t%s\n)\n' \
            $main $operator $main/pkg/apis/monitoring $main/pkg/apis/monitoring $operator $main/pkg/client $main/pkg/client $operator \
            $main/cmd/operator $main/cmd/prometheus-config-reloader |
            CGO_ENABLED=0 build_from operator $main/cmd/operator $main/cmd/prometheus-config-reloader
        cp "$(go env GOMODCACHE)/$main@$operator/example/prometheus-operator-crd/"*.yaml "$state/build/operator/"
    }
    export GOBIN=$bin
    [ -x "$bin/containerd" ] || {
        say "containerd $containerd"
        go install github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr}@$containerd
    }
    [ -x "$bin/coredns" ] || { say "coredns $coredns"; go install github.com/coredns/coredns@$coredns; }
    [ -x "$bin/prometheus" ] || {
        say "prometheus $prometheus (3.${prometheus#v0.3}), alertmanager $alertmanager"
        CGO_ENABLED=0 go install github.com/prometheus/prometheus/cmd/{prometheus,promtool}@$prometheus
        CGO_ENABLED=0 go install github.com/prometheus/alertmanager/cmd/{alertmanager,amtool}@$alertmanager
    }
}

certificates() {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=cluster -days 30 2>/dev/null
    openssl genrsa -out sa.key 2048 2>/dev/null
    openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
    certificate api /CN=kube-apiserver "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:$node"
    certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client "extendedKeyUsage=clientAuth"
    openssl rand -hex 16 | sed 's/$/,admin,admin,system:masters/' >tokens.csv
}

certificate() {
    openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" -extfile <(echo "$3") 2>/dev/null
}

start() {
    local name=$1
    shift
    setsid "$@" >"$name.log" 2>&1 </dev/null &
}

wait_for() {
    local what=$1
    shift
    for _ in $(seq 120); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.5
    done
    echo "expected $what within a minute, but found none; see $run/*.log" >&2
    exit 1
}

up() {
    rm -rf "$run"
    mkdir -p "$run/cni.d" "$run/containerd"
    cd "$run"
    certificates
    ip link set lo up
    ip addr add $node/32 dev lo
    echo 1 >/proc/sys/net/ipv4/ip_forward
    cat >admin.conf <<END
apiVersion: v1
kind: Config
clusters: [{name: cluster, cluster: {server: "https://$node:16443", certificate-authority: $run/ca.crt}}]
users: [{name: admin, user: {token: $(cut -d , -f 1 tokens.csv)}}]
contexts: [{name: cluster, context: {cluster: cluster, user: admin}}]
current-context: cluster
END
    start etcd etcd --data-dir "$run/etcd" --unsafe-no-fsync --listen-peer-urls http://127.0.0.1:12380 \
        --listen-client-urls http://127.0.0.1:12379 --advertise-client-urls http://127.0.0.1:12379
    start apiserver kube-apiserver --etcd-servers=http://127.0.0.1:12379 --bind-address=$node --secure-port=16443 \
        --advertise-address=$node --tls-cert-file=api.crt --tls-private-key-file=api.key --client-ca-file=ca.crt \
        --token-auth-file=tokens.csv --authorization-mode=Node,RBAC --service-account-key-file=sa.pub \
        --service-account-signing-key-file=sa.key --service-account-issuer=https://kubernetes.default.svc \
        --kubelet-client-certificate=kubelet-client.crt --kubelet-client-key=kubelet-client.key \
        --kubelet-preferred-address-types=InternalIP --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true
    wait_for "an API server that is ready" kubectl get --raw /readyz
    start controllers kube-controller-manager --kubeconfig=admin.conf --service-account-private-key-file=sa.key \
        --root-ca-file=ca.crt --leader-elect=false --allocate-node-cidrs=true --cluster-cidr=10.244.0.0/16 --bind-address=127.0.0.1
    start scheduler kube-scheduler --kubeconfig=admin.conf --leader-elect=false --bind-address=127.0.0.1
    cat >cni.d/10-bridge.conflist <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$run/addresses", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
    # The machine may lack the right to lower an OOM score.
    cat >containerd.toml <<END
version = 3
root = "$run/containerd/root"
state = "$run/containerd/state"
[grpc]
  address = "$run/containerd/containerd.sock"
[ttrpc]
  address = "$run/containerd/containerd.sock.ttrpc"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$run/cni.d"
END
    start containerd containerd --config containerd.toml
    wait_for "containerd" ctr_ version
    pause_image
    echo "nameserver $dns" >resolv.conf
    cat >kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
address: $node
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $run/ca.crt}}
authorization: {mode: AlwaysAllow}
clusterDNS: [$dns]
clusterDomain: cluster.local
resolvConf: $run/resolv.conf
podLogsDir: $run/pod-logs
# How soon a changed ConfigMap or Secret is in the pods; a minute by default.
syncFrequency: 5s
imageGCHighThresholdPercent: 100
# However full the machine is.
evictionHard: {memory.available: 1Mi, nodefs.available: 1Mi, imagefs.available: 1Mi}
END
    start kubelet kubelet --config kubelet.yaml --kubeconfig admin.conf --root-dir "$run/kubelet" --cert-dir "$run/kubelet-pki" \
        --hostname-override node --node-ip $node
    start proxy kube-proxy --kubeconfig admin.conf --hostname-override node --proxy-mode iptables --bind-address $node \
        --cluster-cidr 10.244.0.0/24 --conntrack-max-per-core 0 --metrics-bind-address 127.0.0.1:10249
    wait_for "a node that is ready" kubectl wait --for=condition=Ready node/node --timeout=1s
    dns_service
    volumes
    say "Kubernetes $(kubectl get node node -o 'jsonpath={.status.nodeInfo.kubeletVersion}, {.status.nodeInfo.containerRuntimeVersion}')"
}

ctr_() { ctr --address "$run/containerd/containerd.sock" --namespace k8s.io "$@" 2> >(grep -v DEPRECATION >&2); }

pause_image() {
    printf '%s\n' '#include <signal.h>' '#include <stdlib.h>' '#include <sys/wait.h>' '#include <unistd.h>' \
        'static void end(int s) { (void)s; _exit(0); }' 'static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0); }' \
        'int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); for (;;) pause(); }' >pause.c
    gcc -O2 -static -o pause pause.c
    image localhost/pause:1 '{"Entrypoint": ["/pause"]}' "$run/pause=/pause"
}

# CoreDNS runs on the node; the Service points at it.
dns_service() {
    cat >Corefile <<END
.:10053 {
    bind $node
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig $run/admin.conf cluster
        pods insecure
    }
    errors
}
END
    start coredns coredns -conf Corefile
    kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: $dns
  ports: [{name: dns, port: 53, protocol: UDP, targetPort: 10053}, {name: dns-tcp, port: 53, protocol: TCP, targetPort: 10053}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-node, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{name: dns, port: 10053, protocol: UDP}, {name: dns-tcp, port: 10053, protocol: TCP}]
endpoints: [{addresses: ["$node"], conditions: {ready: true}}]
END
}

# Volumes of 1 GiB for claims of the default class; they know file systems' owners (fsGroup).
volumes() {
    for number in $(seq 30); do
        mkdir -p "$run/volumes/$number"
        cat <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: volume-$number}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local
  local: {path: $run/volumes/$number}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node]}]}]}}
---
END
    done | kubectl apply -f - >/dev/null
    kubectl apply -f - >/dev/null <<END
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
END
}

image() {
    local archive
    archive=$(mktemp -p "$run" image-XXXXXX.tar)
    (cd "$here/../.." && python3 "$here/image.py" "$archive" "$@")
    ctr_ images import "$archive" >/dev/null
    rm "$archive"
}

operator() {
    cd "$run"
    kubectl apply --server-side -f "$state/build/operator" >/dev/null
    kubectl wait --for=condition=Established crd --all --timeout=30s >/dev/null
    local certs=/etc/ssl/certs/ca-certificates.crt
    image localhost/prometheus:$prometheus '{"User": "65534:65534", "Entrypoint": ["/bin/prometheus"]}' \
        "$bin/prometheus=/bin/prometheus" "$bin/promtool=/bin/promtool" DIR=/prometheus:65534:65534 DIR=/tmp:0:0:1777 $certs=$certs
    image localhost/alertmanager:$alertmanager '{"User": "65534:65534", "Entrypoint": ["/bin/alertmanager"]}' \
        "$bin/alertmanager=/bin/alertmanager" "$bin/amtool=/bin/amtool" DIR=/alertmanager:65534:65534 $certs=$certs
    image localhost/prometheus-config-reloader:$operator '{"User": "65534:65534", "Entrypoint": ["/bin/prometheus-config-reloader"]}' \
        "$bin/prometheus-config-reloader=/bin/prometheus-config-reloader"
    start operator operator --apiserver="https://$node:16443" --ca-file="$run/ca.crt" \
        --cert-file="$run/kubelet-client.crt" --key-file="$run/kubelet-client.key" --web.listen-address=127.0.0.1:18080 \
        --prometheus-config-reloader=localhost/prometheus-config-reloader:$operator \
        --prometheus-default-base-image=localhost/prometheus --alertmanager-default-base-image=localhost/alertmanager
    wait_for "prometheus-operator" curl -sf http://127.0.0.1:18080/healthz
    say "prometheus-operator $operator; in a Prometheus: image localhost/prometheus:$prometheus, version ${prometheus/v0.3/v3.}"
}

case "${1:-}" in
build | up | operator) "$1" ;;
image) shift; image "$@" ;;
*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
