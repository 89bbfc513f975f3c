#!/usr/bin/env python3
"""The processor time that Prometheus takes for each query of the dashboards, as Grafana asks them 1600 px wide.

    cost.py http://PROMETHEUS END STEP HOURS DASHBOARD…

A query without an answer is a failure, unless its panel is one of EMPTY.
"""
import json
import re
import sys
import urllib.parse
import urllib.request

# Panels that are rightly empty with the data of the benchmark.
EMPTY = {"Forbidden"}


def panels(board):
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def ask(url, path, **parameters):
    body = urllib.parse.urlencode(parameters).encode()
    with urllib.request.urlopen(f"{url}/api/v1/{path}", body, timeout=3600) as answer:
        return json.load(answer)["data"]["result"]


def spent(url):
    """Processor time of the Prometheus so far, in seconds: unlike wall time, other programs hardly change it."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=3600) as answer:
        return float(re.search(rb"^process_cpu_seconds_total (\S+)", answer.read(), re.M)[1])


def main(url, end, scrape, hours, *boards):
    end, scrape, span = int(end), int(scrape), int(float(hours) * 3600)
    newest = ask(url, "query", query="topk(1, defender_scan_last_age_seconds)", time=end)[0]["metric"]
    failed = False
    for path in boards:
        with open(path) as file:
            board = json.load(file)
        total, slow = 0.0, []
        for panel in panels(board):
            width = int(1600 * panel["gridPos"]["w"] / 24) - 60
            for target in panel.get("targets", []):
                least = {None: 0}.get(panel.get("interval"), int(re.sub(r"\D", "", panel.get("interval") or "0") or 0) * 60)
                step = max(scrape, -(-span // width), least)
                query = target["expr"]
                for name, value in {
                    "__rate_interval": f"{max(step + scrape, 4 * scrape)}s",
                    "__range": f"{span}s",
                    "__interval": f"{step}s",
                    "definition": newest["definition_id"],
                    "job": ".+",
                    "instance": ".+",
                    "tenant": newest["tenant"] if board["uid"] == "defender-scan-definition" else ".+",
                }.items():
                    query = re.sub(rf"\$\{{?{name}\b\}}?", lambda _: value, query)
                if "$" in re.sub(r"\$1", "", query):
                    raise SystemExit(f"expected no variable that is unknown, but found one in {query}")
                began = spent(url)
                if target.get("instant"):
                    found = ask(url, "query", query=query, time=end)
                else:
                    found = ask(url, "query_range", query=query, start=end - span, end=end, step=step)
                took = spent(url) - began
                total += took
                slow.append((took, panel["title"], target["refId"], len(found)))
                if not found and panel["title"] not in EMPTY:
                    print(f"expected an answer, but found none: {path}, {panel['title']} {target['refId']}: {query}")
                    failed = True
        print(f"{path.split('/')[-1]}: {total:.2f} s in {len(slow)} queries")
        for took, title, ref, series in sorted(slow, reverse=True)[:5]:
            print(f"  {took:5.2f} s  {title} {ref}, {series} series")
    sys.exit(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
