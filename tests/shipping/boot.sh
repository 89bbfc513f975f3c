#!/bin/bash
# Boots systemd on a copy of this machine, runs `installed.sh` in it as a service, and ends as that ends.
# For root, in namespaces of its own: all that it mounts and starts vanishes with them.
#
#   boot.sh FOLDER      the copy has it as /package; what the service prints is in FOLDER/log
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1

layer=$folder/layer
mkdir "$layer"
mount -t tmpfs tmpfs "$layer"
mkdir "$layer/files" "$layer/work" "$layer/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/files,workdir=$layer/work" "$layer/root"
cp "$here/installed.sh" "$folder"
# Images of machines have it, so that packages start nothing.
rm -f "$layer/root/usr/sbin/policy-rc.d"
cat >"$layer/root/etc/systemd/system/installed.service" <<END
[Unit]
SuccessAction=exit-force
FailureAction=exit-force

[Service]
Type=oneshot
TimeoutStartSec=600s
StandardOutput=file:/package/log
StandardError=inherit
ExecStart=/bin/bash -x /package/installed.sh
END

# Empty groups of processes would stay.
forget() {
    local group
    for group in /sys/fs/cgroup/{,systemd/,unified/}{payload,supervisor}; do
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} \;
    done
}
trap forget EXIT
# Where it would leave a folder behind.
mount -t tmpfs tmpfs /run
systemd-nspawn --quiet --directory="$layer/root" --bind="$folder:/package" --link-journal=no \
    --register=no --keep-unit --console=pipe --boot systemd.unit=installed.service
