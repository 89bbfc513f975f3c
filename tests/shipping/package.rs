//! The Debian package: built, installed, started, and purged, on a copy of this
//! machine that vanishes with the test: an overlay in a mount namespace of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{copy, root, run, static_binary, static_target, succeeds};

/// `cargo deb`, of the static binary that the tests have anyway.
fn package(folder: &Path) -> PathBuf {
    let target = folder.join("target");
    let binary = target
        .join(static_target())
        .join("release/defender-scan-exporter");
    copy(&static_binary(), &binary);
    let deb = folder.join("exporter.deb");
    succeeds(
        Command::new(root().join("target/tools/bin/cargo-deb"))
            .current_dir(root())
            .args([
                "--no-build",
                "--strip",
                "--fast",
                "--target",
                &static_target(),
                "--output",
            ])
            .arg(&deb)
            .env("CARGO_TARGET_DIR", target),
    );
    deb
}

/// Runs a script as root of a throwaway copy of the machine, in which `folder` is `/package`.
fn elsewhere(folder: &Path, script: &str) -> Output {
    let layer = "set -eu
        upper=$(mktemp -d)
        mount -t tmpfs tmpfs \"$upper\"
        mkdir \"$upper/files\" \"$upper/work\" \"$upper/root\"
        mount -t overlay overlay -o \"lowerdir=/,upperdir=$upper/files,workdir=$upper/work\" \"$upper/root\"
        mkdir -p \"$upper/root/package\" \"$upper/root/proc\"
        mount --bind \"$0\" \"$upper/root/package\"
        mount --rbind /proc \"$upper/root/proc\"
        mount --rbind /dev \"$upper/root/dev\"
        exec chroot \"$upper/root\" /bin/bash -euc \"$1\"";
    let mut command = if rustix::process::getuid().is_root() {
        Command::new("unshare")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "unshare"]);
        sudo
    };
    run(command
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "/bin/sh",
            "-c",
            layer,
        ])
        .arg(folder)
        .arg(script))
}

const SCRIPT: &str = r#"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
name=defender-scan-exporter
before=$(find / -xdev -path /package -prune -o -path /tmp -prune -o -name "*$name*" -print)
dpkg --install /package/exporter.deb
test "$(dpkg-query -W -f '${Status}' $name)" = "install ok installed"
test -L /etc/systemd/system/multi-user.target.wants/$name.service
# As a running systemd does at once, and others at the next start.
systemd-tmpfiles --create $name.conf
test "$(stat -c '%U %a' /var/lib/$name)" = "$name 700"
test "$(stat -c '%U %a' /etc/$name/secrets)" = "root 700"
systemd-analyze verify --man=no $name.service

# As the unit starts it: its user, its arguments, its environment.
unit=/usr/lib/systemd/system/$name.service
. /etc/default/$name
eval "$(sed -n 's/^Environment=/export /p' $unit)"
setpriv --reuid=$name --regid=$name --clear-groups --no-new-privs --bounding-set=-all \
    $(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' $unit) ${ARGS/:10063/:0} >/tmp/$name.log 2>&1 &
for _ in $(seq 600); do
    url=$(sed -n 's/^ *metrics *//p' /tmp/$name.log)
    [ -n "$url" ] && curl -sf "$url" | grep '^defender_scan_status_code{' >/dev/null && break
    kill -0 $! || { cat /tmp/$name.log; exit 1; }
    sleep 0.1
done
curl -sf "$url" | grep '^defender_scan_status_code{' >/dev/null
test -n "$(ls -A /var/lib/$name)"
kill -TERM $!
wait $!

echo kept >/etc/$name/secrets/contoso
sed -i 's/^ARGS=.*/ARGS="--config.file=mine"/' /etc/default/$name
dpkg --install /package/exporter.deb
grep -q mine /etc/default/$name
dpkg --remove $name
test ! -e /usr/bin/$name
test -e /etc/$name/secrets/contoso
dpkg --purge $name
after=$(find / -xdev -path /package -prune -o -path /tmp -prune -o -name "*$name*" -print)
test "$before" = "$after" || { diff <(echo "$before") <(echo "$after"); exit 1; }
! dpkg-query -W $name 2>/dev/null
echo all is well
"#;

#[test]
fn it_installs_starts_a_demo_and_purges() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    package(folder.path());
    let output = elsewhere(folder.path(), SCRIPT);
    let said = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    assert!(
        output.status.success() && said.contains("all is well"),
        "{said}"
    );
}
