# Where the programs are, in which versions, and how to reach the cluster; read by the other scripts.
state=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target/kubernetes
# Others are run by hand: see docs/deployment.md.
kubernetes=${KUBERNETES:-v1.36.3}
bin=$state/bin
kube=$state/$kubernetes
run=$state/run
export PATH=$kube:$bin:$PATH KUBECONFIG=$run/admin.conf
export HELM_CACHE_HOME=$state/helm/cache HELM_CONFIG_HOME=$state/helm/config HELM_DATA_HOME=$state/helm/data

say() { printf '== %s\n' "$1" >&2; }

# Whether Go is there, and new enough for what is built with it.
has_go() {
    local version
    version=$(go env GOVERSION 2>/dev/null) || return
    [ "$(printf '%s\n' go1.26 "$version" | sort -V | head -n 1)" = go1.26 ]
}

# Tools that Go can build, in these versions.
install_tools() {
    local tool
    for tool in helm.sh/helm/v4/cmd/helm@v4.3.1 github.com/rhysd/actionlint/cmd/actionlint@v1.7.7; do
        local name=${tool%@*}
        [ ! -x "$bin/${name##*/}" ] || continue
        say "$tool"
        GOBIN=$bin go install "$tool" || return
    done
}
