#!/usr/bin/env python3
"""What can be known of the chart without a cluster. Needs helm, promtool, and the Python of
tests/run.sh. UPDATE_GOLDEN=1 writes golden/ anew."""

import copy
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kubernetes_validate
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHART = ROOT / "deploy/helm/defender-scan-exporter"
# The oldest Kubernetes that is supported, and the newest.
VERSIONS = ["1.35", "1.37"]
GOLDEN = ["shards", "web-config", "workload-identity-projected"]
# Kinds of custom resources: the cluster's API server checks them, on their definitions.
CUSTOM = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ExternalSecret", "GrafanaDashboard"}
# Values that Kubernetes defines: the chart hands them on as they are.
FREE = ("podSecurityContext", "securityContext", "resources", "startupProbe", "livenessProbe", "readinessProbe")
failures = []


def expect(holds, message):
    if not holds:
        failures.append(message)
        print(f"FAILED: {message}", file=sys.stderr)


def helm(*arguments, values=None, check=True):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values or {}, file)
        file.flush()
        command = ["helm", *arguments, *(["--values", file.name] if values is not None else [])]
        done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done


def template(values, *arguments, check=True):
    return helm("template", "test", str(CHART), "--namespace", "security", *arguments, values=values, check=check)


def objects(text):
    return [item for item in yaml.safe_load_all(text) if item]


def leaves(value, path=()):
    """Keys of values.yaml: down to what is empty, a list, or no mapping."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path, value


def get(values, path):
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return None
        values = values[key]
    return values


def covers(matrix):
    """Each key is off its default at least once."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    # One change in what Kubernetes defines is enough.
    paths = {path[:1] if path[0] in FREE else path for path, _ in leaves(defaults)}
    paths = {path[:2] if path[:2] == ("dashboards", "instanceSelector") else path for path in paths}
    for path in sorted(paths):
        default = get(defaults, path)
        changed = any(get(values, path) not in (None, default) for values in matrix.values())
        expect(changed, f"matrix.yaml: expected a case that changes {'.'.join(path)}, but found none")
    expect(len(matrix) >= 20, "matrix.yaml: expected at least 20 cases")


def pod_specs(item):
    spec = item.get("spec", {})
    if item["kind"] == "Pod":
        yield spec
    elif "template" in spec and "spec" in spec["template"]:
        yield spec["template"]["spec"]


def is_restricted(name, item):
    """Pod Security's level `restricted`, of our own containers."""
    for spec in pod_specs(item):
        pod = spec.get("securityContext", {})
        expect(pod.get("runAsNonRoot") is True, f"{name}: {item['kind']} may run as root")
        expect(pod.get("seccompProfile") == {"type": "RuntimeDefault"}, f"{name}: {item['kind']} has no seccomp profile")
        expect(spec.get("automountServiceAccountToken") is False, f"{name}: {item['kind']} mounts a token")
        own = [one for one in spec["containers"] if one["name"] not in ("sidecar",)]
        for container in own:
            security = container["securityContext"]
            expect(security["readOnlyRootFilesystem"] is True, f"{name}: {item['kind']} writes to its root")
            expect(security["allowPrivilegeEscalation"] is False, f"{name}: {item['kind']} may gain privileges")
            expect(security["capabilities"] == {"drop": ["ALL"]}, f"{name}: {item['kind']} has capabilities")
            expect("limits" in container["resources"], f"{name}: {item['kind']} has no limits")


def filled(text):
    """Without empty lines, of which Helm 3 and 4 print different numbers."""
    return [line for line in text.splitlines() if line.strip()]


def render(matrix):
    for name, values in matrix.items():
        text = template(values).stdout
        seen = set()
        for item in objects(text):
            identity = (item["kind"], item["metadata"]["name"])
            expect(identity not in seen, f"{name}: {identity} is there twice")
            seen.add(identity)
            is_restricted(name, item)
            if item["kind"] in CUSTOM:
                continue
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(item, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    expect(False, f"{name}, Kubernetes {version}: {identity}: {error}")
        if name in GOLDEN:
            golden = HERE / "golden" / f"{name}.yaml"
            if os.environ.get("UPDATE_GOLDEN"):
                golden.parent.mkdir(exist_ok=True)
                golden.write_text(text)
            expect(golden.exists() and filled(golden.read_text()) == filled(text), f"{golden.relative_to(ROOT)}: differs; read it, and run with UPDATE_GOLDEN=1")
    print(f"{len(matrix)} sets of values, valid for Kubernetes {' and '.join(VERSIONS)}")


def lint(matrix):
    for values in matrix.values():
        helm("lint", "--strict", str(CHART), values=values)


def changed(values, path, value):
    values = copy.deepcopy(values)
    inner = values
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
    inner[path[-1]] = value
    return values


def numbers():
    """Names that YAML would take for numbers."""
    config = {"config": "tenants: []"}
    tls = {"config": {"tls_server_config": {"cert_file": "tls.crt"}}, "secrets": ["5"]}
    sets = [
        config | {"existingSecret": "1", "persistence": {"existingClaim": "2"}, "webConfig": tls, "monitor": {"enabled": True}},
        {"existingConfigMap": "1", "webConfig": {"existingSecret": "2"}, "persistence": {"storageClass": "3"}, "priorityClassName": "4"},
        config | {"serviceAccount": {"name": "1"}, "networkPolicy": {"enabled": True}, "shards": 2, "runtimeClassName": "2"},
        {"demo": True, "dashboards": {"enabled": True, "namespace": "1"}, "prometheusRule": {"enabled": True}},
    ]
    for values in sets:
        for item in objects(helm("template", "123", str(CHART), "--namespace", "2024", values=values).stdout):
            text = [item["metadata"]["namespace"], *item["metadata"]["labels"].values()]
            expect(all(isinstance(value, str) for value in text), f"{values}: {item['kind']} has {text}")
            if item["kind"] not in CUSTOM:
                try:
                    kubernetes_validate.validate(item, VERSIONS[0], strict=True)
                except kubernetes_validate.ValidationError as error:
                    expect(False, f"{values}: {item['kind']}: {error.message}")
    print(f"{len(sets)} sets of values with numbers for names")


def refusals():
    """Wrong values are refused, and the message names the value."""
    demo = {"demo": True}
    web = {"webConfig": {"config": {"basic_auth_users": {"x": "y"}, "tls_server_config": {"cert_file": "x"}}}}
    cases = [
        ({}, "config"),
        (changed(demo, ["shard"], 2), "shard"),
        (changed(demo, ["shards"], 0), "shards"),
        (changed(demo, ["shards"], "3"), "shards"),
        (changed(demo, ["image", "digest"], "abc"), "digest"),
        (changed(demo, ["image", "pullPolicy"], "Sometimes"), "pullPolicy"),
        (changed(demo, ["image", "repository"], ""), "repository"),
        (changed(demo, ["image", "tag"], "v1\n command: [x]"), "tag"),
        (changed(demo, ["livenessProbe"], {"httpGet": {"path": "/x", "port": 1}}), "livenessProbe"),
        (changed(demo, ["prometheusRule", "links", "grafana"], "https://x/a: b"), "grafana"),
        (changed(demo, ["prometheusRule", "alertLabels"], {"severity": "page"}), "severity"),
        (demo | {"prometheusRule": {"enabled": True, "disabled": ["DefenderScanStael"]}}, "DefenderScanStael"),
        (demo | {"persistence": {"enabled": False, "existingClaim": "x"}}, "persistence.existingClaim"),
        (changed(demo, ["autoReloadInterval"], "soon"), "autoReloadInterval"),
        (changed(demo, ["monitor", "kind"], "Probe"), "kind"),
        (changed(demo, ["monitor", "apiVersion"], "v1"), "apiVersion"),
        (changed(demo, ["monitor", "interval"], "often"), "interval"),
        (changed(demo, ["dashboards", "kind"], "Folder"), "kind"),
        (changed(demo, ["persistence", "size"], "large"), "size"),
        (changed(demo, ["persistence", "size"], "1KB"), "size"),
        (changed(demo, ["persistence", "accessModes"], ["ReadOnly"]), "accessModes"),
        (changed(demo, ["prometheusRule", "thresholds", "budgetShare"], 90), "budgetShare"),
        (changed(demo, ["prometheusRule", "thresholds", "stale"], 2), "stale"),
        (demo | {"prometheusRule": {"enabled": True, "thresholds": {"staleIntervals": None}}}, "staleIntervals"),
        (demo | {"prometheusRule": {"enabled": True, "links": None}}, "runbooks"),
        (changed(demo, ["log", "level"], "loud"), "level"),
        (changed(demo, ["extraArgs"], "--x"), "extraArgs"),
        (changed(demo, ["commonLabels"], {"a": 1}), "commonLabels"),
        (changed(demo, ["commonLabels"], {"app.kubernetes.io/name": "x"}), "commonLabels/app.kubernetes.io~1name"),
        (changed(demo, ["podLabels"], {"helm.sh/chart": "x"}), "podLabels/helm.sh~1chart"),
        (changed(demo, ["monitor", "labels"], {"app.kubernetes.io/version": "x"}), "monitor/labels/app.kubernetes.io~1version"),
        (changed(demo, ["webConfig", "config"], {"tls": {}}), "tls"),
        (changed(demo, ["config"], {"tenants": []}), "config"),
        (demo | {"config": "tenants: []"}, "demo and config"),
        (demo | {"existingConfigMap": "x"}, "existingConfigMap"),
        (demo | {"existingSecret": "x", "externalSecret": {"enabled": True}}, "externalSecret"),
        (demo | {"workloadIdentity": {"enabled": True}}, "workloadIdentity.clientId"),
        (demo | {"workloadIdentity": {"enabled": True, "clientId": "me"}}, "clientId"),
        (demo | {"shards": 2, "persistence": {"existingClaim": "x"}}, "persistence.existingClaim"),
        (demo | web | {"monitor": {"enabled": True, "tlsConfig": {"x": "y"}}}, "monitor.basicAuth"),
        (demo | web | {"monitor": {"enabled": True, "basicAuth": {"username": {}}}}, "monitor.tlsConfig"),
        (demo | changed(web, ["webConfig", "existingSecret"], "x"), "webConfig.existingSecret"),
    ]
    for values, name in cases:
        done = template(values, check=False)
        said = done.stdout + done.stderr
        expect(done.returncode != 0 and name in said, f"{values}: expected to be refused with {name!r}, but found: {said[-400:]}")
    print(f"{len(cases)} wrong values refused by name")


def empty(value, path=()):
    """Places without a value, which a template left behind."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from empty(inner, (*path, key))
    elif value is None:
        yield ".".join(map(str, path))


def nulls():
    """Without any one default, the chart is as valid as with it, or refuses by name."""
    config = {"config": "tenants: []", "shards": 2}
    web = {"config": {"tls_server_config": {"cert_file": "tls.crt"}}, "secrets": ["exporter-tls"]}
    identity = {"enabled": True, "clientId": "9b6f0000-0000-4000-8000-000000000001", "projectToken": True}
    on = {key: {"enabled": True} for key in ("monitor", "prometheusRule", "dashboards", "networkPolicy")}
    secret = {"enabled": True, "secretStoreRef": {"name": "vault"}, "data": [{"secretKey": "x", "remoteRef": {"key": "x"}}]}
    base = config | on | {"webConfig": web, "workloadIdentity": identity, "externalSecret": secret}
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    paths = {path[:length] for path, _ in leaves(defaults) for length in range(1, len(path) + 1)}
    paths = {path for path in paths if len(path) == 1 or path[0] not in FREE}

    def judge(path):
        name = ".".join(path)
        done = template(changed(base, path, None), check=False)
        if done.returncode:
            said = done.stdout + done.stderr
            return [] if path[-1] in said and "executing" not in said else [f"{name}: null: {said[-400:]}"]
        wrong = []
        for item in objects(done.stdout):
            wrong += [f"{name}: null: {item['kind']} has nothing in {place}" for place in empty(item)]
            if item["kind"] not in CUSTOM:
                try:
                    kubernetes_validate.validate(item, VERSIONS[0], strict=True)
                except kubernetes_validate.ValidationError as error:
                    wrong.append(f"{name}: null: {item['kind']}: {error.message}")
        return wrong

    with ThreadPoolExecutor() as pool:
        for wrong in pool.map(judge, sorted(paths)):
            for message in wrong:
                expect(False, message)
    print(f"{len(paths)} keys that are null")


class OnceOnly(yaml.SafeLoader):
    """A loader that refuses a key that is there twice, as Kubernetes does."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"{sorted(twice)} twice")
        return super().construct_mapping(node, deep)


def repeated():
    """What a user's labels and annotations repeat is there once, and the closer one wins."""
    labels = {"commonLabels": {"team": "all", "azure.workload.identity/use": "no"}, "podLabels": {"team": "pods"}}
    objects_on = {key: {"enabled": True, "labels": {"team": key}} for key in ("monitor", "prometheusRule", "dashboards")}
    annotations = {"podAnnotations": {"kubectl.kubernetes.io/default-container": "sidecar"}, "autoReloadInterval": "0s"}
    identity = {"workloadIdentity": {"enabled": True, "clientId": "9b6f0000-0000-4000-8000-000000000001"}}
    text = template({"config": "tenants: []"} | labels | objects_on | annotations | identity).stdout
    teams = {}
    for item in yaml.load_all(text, OnceOnly):
        if item:
            teams.setdefault(item["kind"], set()).add(item["metadata"]["labels"]["team"])
            if item["kind"] == "StatefulSet":
                pods = item["spec"]["template"]["metadata"]
    for kind, expected in {
        "StatefulSet": {"all"}, "ServiceMonitor": {"monitor"}, "PrometheusRule": {"prometheusRule"}, "ConfigMap": {"all", "dashboards"},
    }.items():
        expect(teams[kind] == expected, f"labels of {kind}: {teams[kind]}")
    expect(pods["labels"]["team"] == "pods" and pods["labels"]["azure.workload.identity/use"] == "true", f"labels of pods: {pods['labels']}")
    expect(pods["annotations"]["kubectl.kubernetes.io/default-container"] == "sidecar", f"annotations of pods: {pods['annotations']}")


def verbatim():
    """The configuration arrives word for word: its messages name the lines of the user's file."""
    for config in ("  a: 1\n  b: 2\n", "\n\na: 1\n", "a: 1\r\nb: 2\r\n", "\ta: ü # {{ .Values }}", "---\na: 'b: c'\n...\n"):
        found = [item["data"]["exporter.yml"] for item in objects(template({"config": config}).stdout) if item["kind"] == "ConfigMap"]
        expect(found == [config] * 2, f"the configuration {config!r} became {found!r}")


def stays(matrix):
    """What does not concern the pods leaves their template as it is; what does, changes it."""
    def pods(values):
        for item in objects(template(values).stdout):
            if item["kind"] == "StatefulSet":
                return item["spec"]["template"]

    base = matrix["tenant"]
    for key in ("monitor", "prometheusRule", "dashboards", "networkPolicy"):
        expect(pods(base) == pods(changed(base, [key, "enabled"], True)), f"{key} restarts the pods")
    more = changed(base, ["config"], base["config"] + "http: {timeout: 20s}\n")
    expect(pods(base) == pods(more), "a changed configuration restarts the pods")
    restarts = changed(base, ["autoReloadInterval"], "0s")
    expect(pods(restarts) != pods(changed(more, ["autoReloadInterval"], "0s")), "a changed configuration is never in force")
    expect(pods(base) != pods(changed(base, ["shards"], 2)), "pods do not learn of a new number of shards")
    [container] = pods(changed(base, ["livenessProbe"], None))["spec"]["containers"]
    expect([key for key in container if key.endswith("Probe")] == ["readinessProbe", "startupProbe"], "a probe that is null is there")


def rules(matrix):
    """The rules of the defaults are those of alerts/, on which Prometheus's own tests are run."""
    found = objects(template({"demo": True, "prometheusRule": {"enabled": True}}).stdout)
    [rendered] = [item["spec"] for item in found if item["kind"] == "PrometheusRule"]
    source = {"groups": []}
    for path in sorted((ROOT / "alerts").glob("*.rules.yml")):
        source["groups"] += yaml.safe_load(path.read_text())["groups"]

    def plain(groups):
        # A line end at the end of an expression means nothing.
        return [
            group | {"rules": [rule | {"expr": rule["expr"].rstrip("\n")} for rule in group["rules"]]}
            for group in groups["groups"]
        ]

    expect(plain(rendered) == plain(source), "the rules of the chart's defaults differ from alerts/")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "rules.yml").write_text(yaml.safe_dump(rendered))
        [other] = [item["spec"] for item in objects(template(matrix["rules"]).stdout) if item["kind"] == "PrometheusRule"]
        (folder / "other.yml").write_text(yaml.safe_dump(other))
        files = [str(folder / "rules.yml"), str(folder / "other.yml")]
        done = subprocess.run(["promtool", "check", "rules", *files], capture_output=True, text=True)
        expect(done.returncode == 0, f"promtool: {done.stdout}{done.stderr}")
    by_name = {rule.get("alert"): rule for group in other["groups"] for rule in group["rules"]}
    expect("DefenderScanPartial" not in by_name, "a disabled alert is there")
    text = "\n".join(rule["expr"] for rule in by_name.values())
    values = matrix["rules"]["prometheusRule"]["thresholds"]
    for name, part in {
        "staleIntervals": "> {} * job", "noSuccessIntervals": "> {} * job", "targetsShare": "< {} * last", "targetsFewer": ":fresh < {}",
        "agentSilenceSeconds": ":max > {})", "expiryDays": "< {} * 86400", "budgetShare": "> {}",
    }.items():
        expect(part.format(values[name]) in text, f"the threshold {name} is in no rule")
    stale = by_name["DefenderScanStale"]
    expect(stale["labels"]["team"] == "security", "alertLabels are missing")
    expect(stale["labels"]["severity"] == "warning", "the severity is missing")
    links = [rule["labels"] for group in other["groups"] for rule in group["rules"] if rule.get("record") == "defender_scan_exporter:links:info"]
    expect(links == [matrix["rules"]["prometheusRule"]["links"]], "the links are missing")


def released():
    """The chart that is published has the image's place as its default, and is otherwise the same."""
    with tempfile.TemporaryDirectory() as folder:
        script = ROOT / "release/chart.sh"
        done = subprocess.run([script, "ghcr.io/example/exporter", folder], capture_output=True, text=True)
        expect(done.returncode == 0, done.stdout + done.stderr)
        [package] = Path(folder).iterdir()
        published = helm("template", "test", str(package), "--namespace", "security", values={"demo": True}).stdout
        source = template({"demo": True}).stdout
        expect(published == source.replace("registry.example/defender-scan-exporter", "ghcr.io/example/exporter"), "the published chart differs")


def main():
    matrix = yaml.safe_load((HERE / "matrix.yaml").read_text())
    covers(matrix)
    lint(matrix)
    render(matrix)
    numbers()
    refusals()
    nulls()
    repeated()
    verbatim()
    stays(matrix)
    rules(matrix)
    released()
    done = subprocess.run([sys.executable, str(ROOT / "deploy/generate.py"), "--check"], capture_output=True, text=True)
    expect(done.returncode == 0, done.stderr)
    sys.exit(1 if failures else 0)


main()
