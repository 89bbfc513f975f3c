#!/usr/bin/env python3
"""Writes what follows from other files: of the Helm chart its rules, dashboards and README table,
the plain manifests in deploy/kubernetes, and Azure's rule groups.

    deploy/generate.py          writes
    deploy/generate.py --check  says what differs, and ends with 1

Needs PyYAML. The manifests need `helm`: without it they are left alone, and that is said.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy/helm/defender-scan-exporter"
RULES = sorted((ROOT / "alerts").glob("*.rules.yml"))

# What people change: name of the chart's value, the alerts that have it, and the text in which it
# stands, with its default.
THRESHOLDS = [
    ("staleIntervals", {"DefenderScanStale"}, "> {} * job_tenant_definition:defender_scan_interval_seconds:fresh", "2"),
    ("noSuccessIntervals", {"DefenderScanNoSuccess"}, "> {} * job_tenant_definition:defender_scan_interval_seconds:fresh", "3"),
    ("targetsShare", {"DefenderScanTargetsDropping"}, "< {} * last_over_time(job_tenant_definition:defender_scan_targets:offset1w", "0.7"),
    ("targetsFewer", {"DefenderScanTargetsDropping"}, ":fresh < {}\n", "3"),
    ("agentSilenceSeconds", {"DefenderAgentOffline"}, "defender_scan_agent_silence_seconds:max > {})", "3600"),
    ("expiryDays", {"DefenderCertificateExpiring", "DefenderSecretExpiring"}, "time() < {} * 86400", "21"),
    ("budgetShare", {"DefenderBudgetNearlySpent"}, "> {}\n", "0.9"),
]
# The record from which annotations take addresses; its labels are values of the chart too.
LINKS = "defender_scan_exporter:links:info"


def fail(message):
    sys.exit(f"{Path(__file__).name}: {message}")


class Text(yaml.SafeDumper):
    """Expressions stay readable: text of several lines is a block."""


def represent(dumper, text):
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Text.add_representer(str, represent)


def dump(value):
    return yaml.dump(value, Dumper=Text, sort_keys=False, width=10_000, allow_unicode=True)


def groups(path):
    return yaml.safe_load(path.read_text())["groups"]


def with_thresholds(groups):
    """Each threshold becomes `@name@`, which the chart's template replaces by its value."""
    rules = {rule.get("alert", rule.get("record")): rule for group in groups for rule in group["rules"]}
    for name, owners, text, default in THRESHOLDS:
        for owner in owners & rules.keys():
            rule = rules[owner]
            # As every expression of several lines ends.
            expression = rule["expr"].rstrip("\n") + "\n"
            wanted = text.format(default)
            if wanted not in expression:
                fail(f"expected {wanted!r} in {owner}, but found another expression; adapt THRESHOLDS")
            expression = expression.replace(wanted, text.format(f"@{name}@"))
            rule["expr"] = expression if "\n" in rule["expr"].rstrip("\n") else expression.rstrip("\n")
    if LINKS in rules:
        rules[LINKS]["labels"] = {name: f"@{name}@" for name in rules[LINKS]["labels"]}
    return groups


def chart_rules():
    found = set()
    for path in RULES:
        rules = groups(path)
        found |= {rule.get("alert") for group in rules for rule in group["rules"]}
        note = f"# Made from alerts/{path.name} by deploy/generate.py; names between @ are thresholds and links of values.yaml.\n"
        yield CHART / "files/rules" / path.name, note + dump({"groups": with_thresholds(rules)})
    missing = {owner for _, owners, _, _ in THRESHOLDS for owner in owners} - found
    if missing:
        fail(f"expected the alerts {sorted(missing)}, but found none of them; adapt THRESHOLDS")


def chart_dashboards():
    for path in sorted((ROOT / "dashboards").glob("*.json")):
        yield CHART / "files/dashboards" / path.name, path.read_text()


def described(node, texts, path=""):
    """The values and their texts, in the file's order."""
    for key, value in node.items():
        name = f"{path}{key}"
        if name in texts:
            yield name, value, texts[name]
        elif isinstance(value, dict) and value:
            yield from described(value, texts, f"{name}.")
        else:
            fail(f"expected a comment that begins with `--` for {name} in values.yaml, but found none; write one")


def comments(text):
    """Comments that begin with `--`, by the path of the key below them."""
    texts, stack, pending = {}, [], None
    for line in text.splitlines():
        if match := re.match(r"\s*# -- (.*)", line):
            pending = match[1]
        elif match := re.match(r"( *)([A-Za-z]\w*):", line):
            depth = len(match[1])
            stack = [(at, key) for at, key in stack if at < depth] + [(depth, match[2])]
            if pending:
                texts[".".join(key for _, key in stack)] = pending
                pending = None
    return texts


def readme_table():
    text = (CHART / "values.yaml").read_text()
    rows = ["| value | default | what it is |", "| --- | --- | --- |"]
    for name, value, what in described(yaml.safe_load(text), comments(text)):
        default = json.dumps(value, ensure_ascii=False)
        rows.append(f"| `{name}` | `{default}` | {what.replace('|', chr(92) + '|')} |")
    path = CHART / "README.md"
    begin, end = "<!-- values -->\n", "<!-- /values -->"
    readme = path.read_text()
    if begin not in readme or end not in readme:
        fail(f"expected the marks {begin.strip()} and {end} in {path}, but found them missing")
    before, rest = readme.split(begin, 1)
    yield path, before + begin + "\n".join(rows) + "\n" + end + rest.split(end, 1)[1]


def manifests():
    """What `helm template` makes of the chart, all values at their defaults but the demo."""
    helm = shutil.which("helm")
    if not helm:
        print("NOT CHECKED: deploy/kubernetes; expected helm in the PATH, but found none", file=sys.stderr)
        return
    command = [helm, "template", "defender-scan-exporter", str(CHART), "--set", "demo=true", "--skip-tests", "--no-hooks"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    objects = [item for item in yaml.safe_load_all(output) if item]
    for item in objects:
        metadata = item["metadata"]
        # `kubectl apply -n` and kustomize choose the namespace, and Helm has no part in it.
        metadata.pop("namespace", None)
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            metadata.get("labels", {}).pop(label, None)
    folder = ROOT / "deploy/kubernetes"
    note = "# Made from the Helm chart, with `demo=true`, by deploy/generate.py.\n"
    yield folder / "exporter.yaml", note + "---\n".join(dump(item) for item in objects)


def generate():
    # The manifests follow from the chart's files: they come last.
    for source in (chart_rules, chart_dashboards, readme_table, azure_rules, manifests):
        yield from source()


# Azure Monitor's bounds: https://learn.microsoft.com/azure/azure-monitor/essentials/prometheus-rule-groups
AZURE_RULES = 20
AZURE_INTERVALS = (60, 900)


def seconds(duration):
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"(\d+)([smhd])", duration)
    if "".join(number + unit for number, unit in parts) != duration:
        fail(f"expected a duration such as 15m, but found {duration!r}")
    return sum(int(number) * units[unit] for number, unit in parts)


def iso8601(duration):
    rest, text = seconds(duration), "PT"
    for size, letter in ((3600, "H"), (60, "M"), (1, "S")):
        if rest >= size:
            text += f"{rest // size}{letter}"
            rest %= size
    return text if text != "PT" else "PT0S"


def azure_annotations(annotations):
    """Addresses are parameters: whether a template may query there is not known."""
    query = re.compile(r'\{\{ with query "%s" \}\}\{\{ \. \| first \| label "(\w+)" \}\}\{\{ end \}\}' % LINKS)
    made = {}
    for name, text in annotations.items():
        parts = query.split(text)
        if len(parts) == 1:
            made[name] = text
            continue
        # Text and names of labels take turns.
        words = ["'" + part.replace("'", "''") + "'" if number % 2 == 0 else f"parameters('{part}')" for number, part in enumerate(parts)]
        made[name] = f"[concat({', '.join(word for word in words if word != chr(39) * 2)})]"
    return made


def azure_rule(rule):
    if "#" in rule["expr"]:
        fail(f"expected no comment in an expression, as it becomes one line, but found one: {rule['expr']}")
    expression = " ".join(line.strip() for line in rule["expr"].splitlines())
    if "record" in rule:
        made = {"record": rule["record"], "expression": expression, "enabled": True}
        return made | ({"labels": rule["labels"]} if "labels" in rule else {})
    labels = dict(rule.get("labels", {}))
    # 0 is the most severe there.
    severity = {"critical": 0, "warning": 2, "info": 3}[labels["severity"]]
    made = {"alert": rule["alert"], "expression": expression, "enabled": True, "severity": severity}
    if "for" in rule:
        made["for"] = iso8601(rule["for"])
    return made | {
        "labels": labels,
        "annotations": azure_annotations(rule.get("annotations", {})),
        "resolveConfiguration": {"autoResolved": True, "timeToResolve": "PT10M"},
        "actions": "[variables('actions')]",
    }


def azure_groups():
    """Groups of at most twenty rules. What a rule needs stands before it: in its own group, or in an earlier
    one, whose newest value is then up to an interval old."""
    for path in RULES:
        for group in groups(path):
            interval = group.get("interval", "1m")
            if not AZURE_INTERVALS[0] <= seconds(interval) <= AZURE_INTERVALS[1]:
                fail(f"expected an interval of 1 to 15 minutes for {group['name']}, but found {interval}")
            # Nothing asks for the links there.
            rules = [rule for rule in group["rules"] if rule.get("record") != LINKS]
            parts = [rules[at : at + AZURE_RULES] for at in range(0, len(rules), AZURE_RULES)]
            for number, part in enumerate(parts, 1):
                name = group["name"] if len(parts) == 1 else f"{group['name']}-{number}"
                yield name, interval, part


def azure_rules():
    [links] = [rule["labels"] for path in RULES for group in groups(path) for rule in group["rules"] if rule.get("record") == LINKS]
    resources = []
    for name, interval, rules in azure_groups():
        resources.append({
            "type": "Microsoft.AlertsManagement/prometheusRuleGroups",
            "apiVersion": "2023-03-01",
            "name": name,
            "location": "[parameters('location')]",
            "properties": {
                "enabled": True,
                "clusterName": "[if(empty(parameters('clusterName')), null(), parameters('clusterName'))]",
                "scopes": ["[parameters('workspaceId')]"],
                "interval": iso8601(interval),
                "rules": [azure_rule(rule) for rule in rules],
            },
        })
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "metadata": {"description": "Made from alerts/ by deploy/generate.py."},
        "parameters": {
            "workspaceId": {"type": "string", "metadata": {"description": "Resource id of the Azure Monitor workspace"}},
            "location": {"type": "string", "defaultValue": "[resourceGroup().location]", "metadata": {"description": "Where the workspace is"}},
            "clusterName": {"type": "string", "defaultValue": "", "metadata": {"description": "Only series of this cluster; empty: of all"}},
            "runbooks": {"type": "string", "defaultValue": links["runbooks"], "metadata": {"description": "Where docs/runbooks.md can be read"}},
            "grafana": {"type": "string", "defaultValue": links["grafana"], "metadata": {"description": "Address of Grafana"}},
            "actionGroupId": {"type": "string", "defaultValue": "", "metadata": {"description": "Resource id of the action group that is told; empty: none"}},
        },
        "variables": {
            "actions": "[if(empty(parameters('actionGroupId')), createArray(), createArray(createObject('actionGroupId', parameters('actionGroupId'))))]",
        },
        "resources": resources,
    }
    yield ROOT / "deploy/azure/rules.json", json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__.strip())
    made, wrong = set(), []
    for path, text in generate():
        made.add(path)
        if path.exists() and path.read_text() == text:
            continue
        if check:
            wrong.append(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for path in sorted(set((CHART / "files").rglob("*.*")) - made):
        if check:
            wrong.append(path)
        else:
            path.unlink()
    for path in wrong:
        print(f"{path.relative_to(ROOT)}: expected what deploy/generate.py makes, but found something else; run it", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
