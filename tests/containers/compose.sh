# deploy/compose, without Grafana; a part of `image.sh`.

echo "== docker compose up, by podman-compose"
# A copy, so that the secret gets into no checkout; its build is one that `run.sh` has made.
mkdir -p project
cp -rT "$PROJECT/deploy" project/deploy
cp -r "$PROJECT/alerts" "$PROJECT/dashboards" project
podman tag $image:amd64 defender-scans_exporter
compose() {
    podman-compose --project-name defender-scans --file project/deploy/compose/compose.yml "$@"
}
prometheus=http://127.0.0.1:9090/api/v1
compose up --detach --no-build exporter prometheus alertmanager
shows $metrics '^defender_scan_status_code\{'
shows $prometheus/targets '"health":"up"'
shows $prometheus/alertmanagers 'http://alertmanager:9093/'
shows $prometheus/rules '"health":"ok"'
curl -sf $prometheus/rules >rules.json
fails grep '"health":"err"' rules.json
shows "$prometheus/query?query=defender_up" '"tenant":"demo-1".*"1"\]'
shows http://127.0.0.1:9093/api/v2/status '"uptime"'

echo "== one variable, and it is a real tenant"
(umask 077 && echo not-a-real-one >project/deploy/compose/exporter/secret)
chown 65532 project/deploy/compose/exporter/secret
export EXPORTER_COMMAND=--config.file=/etc/defender-scan-exporter/exporter.yml
compose up --detach --no-build --force-recreate exporter prometheus alertmanager
# There is no way to Microsoft from here.
shows $metrics '^defender_up\{tenant="contoso"\} 0'
shows http://127.0.0.1:10063/-/ready .
shows $prometheus/targets '"health":"up"'
compose down
