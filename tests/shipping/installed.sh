#!/bin/bash
# What the packages do under a running systemd; run by `boot.sh`, as root of a copy of the machine.
# /package holds `exporter.deb`, `exporter.rpm`, and `exporter.yml`, `ca.pem` and `secret` of a simulated tenant.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
name=defender-scan-exporter
metrics=http://127.0.0.1:10063/metrics

property() { systemctl show --property="$1" --value $name; }
fails() { if "$@"; then exit 1; fi; }
files() { find /etc /opt /run /srv /usr /var -xdev -name "*$name*"; }
# Waits until the metrics have a line that begins so.
shows() {
    for _ in $(seq 200); do
        if curl -sf --max-time 5 $metrics | grep "^$1" >/dev/null; then return; fi
        sleep 0.1
    done
    journalctl --no-pager --unit=$name
    exit 1
}

: "it is installed, and starts nothing before it is configured"
files >/before
dpkg --install /package/exporter.deb
fails systemctl is-enabled $name
fails systemctl is-active $name
test -e /usr/share/man/man1/$name.1.gz
test -e /usr/share/bash-completion/completions/$name
sed -i 's/^ARGS=/#&/; s/^#*\(ARGS="demo \)/\1/' /etc/default/$name
systemctl enable --now $name
shows 'defender_scan_status_code{tenant="demo-1"'
test "$(stat -c '%U %a' /var/lib/$name)" = "$name 700"
test "$(stat -c '%U %a' /etc/$name/secrets)" = "root 700"

: "it may do as little as the unit says"
status=/proc/$(property MainPID)/status
test "$(stat -c %U "$status")" = $name
grep -P '^CapEff:\t0+$' "$status"
grep -P '^CapBnd:\t0+$' "$status"
grep -P '^NoNewPrivs:\t1$' "$status"
grep -P '^Seccomp:\t2$' "$status"

: "it becomes another process at a restart, and goes on at a reload"
process=$(property MainPID)
systemctl restart $name
test "$(property MainPID)" != "$process"
shows 'defender_scan_status_code{tenant="demo-1"'
process=$(property MainPID)
systemctl reload $name
shows 'defender_scan_status_code{tenant="demo-1"'
test "$(property MainPID)" = "$process"

: "it polls a real tenant, with a secret that systemd hands to it"
sed 's/NAME/contoso/' /package/exporter.yml >/etc/$name/exporter.yml
cp /package/ca.pem /etc/$name
install -m 600 /package/secret /etc/$name/secrets/contoso
sed -i 's/^ARGS=/#&/; s/^##*\(ARGS="--config.file=\)/\1/' /etc/default/$name
systemctl restart $name
shows 'defender_up{tenant="contoso"} 1'
shows 'defender_scan_status_code{tenant="contoso"'
fails setpriv --reuid=$name --regid=$name --clear-groups cat /etc/$name/secrets/contoso
journalctl --unit=$name >/journal
fails grep --fixed-strings --file=/package/secret /journal

: "a reload takes another configuration, and a bad one changes nothing"
process=$(property MainPID)
sed 's/NAME/fabrikam/' /package/exporter.yml >/etc/$name/exporter.yml
systemctl reload $name
shows 'defender_up{tenant="fabrikam"} 1'
echo 'tenants: none' >/etc/$name/exporter.yml
systemctl reload $name
shows 'defender_exporter_config_last_reload_successful 0'
shows 'defender_up{tenant="fabrikam"} 1'
test "$(property MainPID)" = "$process"
sed 's/NAME/fabrikam/' /package/exporter.yml >/etc/$name/exporter.yml

: "it is started again after a crash"
systemctl kill --signal=KILL $name
shows 'defender_up{tenant="fabrikam"} 1'
test "$(property NRestarts)" -eq 1

: "a socket that systemd holds lets no scrape fail during restarts"
cp /usr/share/doc/$name/examples/$name.socket /etc/systemd/system
sed -i 's/^ARGS="/&--web.systemd-socket /' /etc/default/$name
systemctl daemon-reload
systemctl stop $name.service
systemctl enable --now $name.socket
systemctl start $name.service
for _ in 1 2 3; do
    # Nor is it too often for systemd.
    systemctl reset-failed $name
    systemctl --no-block restart $name
    for _ in 1 2 3; do curl -sSf --max-time 20 --output /dev/null $metrics; done
done
systemctl reset-failed $name

: "it stops in good order, and the next scrape starts it"
# The last of those restarts may still be due.
for _ in $(seq 600); do
    case $(property Job) in '' | 0) break ;; esac
    sleep 0.1
done
systemctl stop $name.service
test "$(property Result) $(property ExecMainStatus)" = "success 0"
shows 'defender_scan_status_code{tenant="fabrikam"'
systemctl disable --now $name.socket
rm /etc/systemd/system/$name.socket
sed -i 's/--web.systemd-socket //' /etc/default/$name
systemctl daemon-reload

: "an upgrade keeps what was set, and runs the new one"
process=$(property MainPID)
dpkg --install /package/exporter.deb
grep '^ARGS="--config.file=' /etc/default/$name
test "$(property MainPID)" != "$process"
shows 'defender_up{tenant="fabrikam"} 1'

: "it is removed, and purged"
dpkg --remove $name
test ! -e /usr/bin/$name
fails systemctl is-active $name
test -e /etc/$name/secrets/contoso
dpkg --purge $name
diff /before <(files)
fails dpkg-query -W $name

: "the RPM package is installed, and starts nothing before it is configured"
userdel $name
# What it depends on is known to dpkg here, and not to rpm.
rpm --install --nodeps /package/exporter.rpm
fails systemctl is-enabled $name
fails systemctl is-active $name
test "$(stat -c '%U %a' /var/lib/$name)" = "$name 700"
test "$(stat -c '%U %a' /etc/$name/secrets)" = "root 700"
sed 's/NAME/contoso/' /package/exporter.yml >/etc/$name/exporter.yml
cp /package/ca.pem /etc/$name
install -m 600 /package/secret /etc/$name/secrets/contoso
sed -i 's/^ARGS=/#&/; s/^##*\(ARGS="--config.file=\)/\1/' /etc/default/$name
systemctl enable --now $name
shows 'defender_up{tenant="contoso"} 1'

: "an upgrade of it keeps what was set, and runs the new one"
process=$(property MainPID)
rpm --reinstall --nodeps /package/exporter.rpm
grep '^ARGS="--config.file=' /etc/default/$name
shows 'defender_up{tenant="contoso"} 1'
test "$(property MainPID)" != "$process"
systemctl is-enabled $name

: "it is removed, and what was set stays"
rpm --erase $name
test ! -e /usr/bin/$name
fails systemctl is-active $name
test -e /etc/$name/secrets/contoso
test -e /etc/$name/exporter.yml.rpmsave
fails rpm --query $name
echo all is well
