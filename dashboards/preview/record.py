#!/usr/bin/env python3
"""Evaluates the project's rules over the past of a Prometheus, as that Prometheus would have done.

    record.py http://PROMETHEUS START END STEP [RULES]

`promtool tsdb create-blocks-from rules` knows neither rules that use other rules nor alerts. Here
the rules of each group are evaluated in their order and written back, alerts as
ALERTS and ALERTS_FOR_STATE. A group in which a rule refers to itself is evaluated step by step, the others rule by rule.
Prometheus needs --web.enable-remote-write-receiver and an out_of_order_time_window.
"""
import http.client
import json
import re
import struct
import sys
import urllib.parse
from pathlib import Path

import yaml

# What Prometheus stores where a series ends.
STALE = struct.pack("<Q", 0x7FF0000000000002)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(text):
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smhdw])", str(text)))


class Prometheus:
    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=3600)

    def request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"expected {path} to work, but found {answer.status}: {text[:500].decode()}")
        return text

    def ask(self, path, **parameters):
        body = urllib.parse.urlencode(parameters)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        data = json.loads(self.request("POST", f"/api/v1/{path}", body, headers))["data"]
        if data["resultType"] == "scalar":
            return [({}, [data["result"]])]
        return [(series["metric"], series.get("values") or [series["value"]]) for series in data["result"]]

    def write(self, series):
        """Sends (labels, [(time, value)]) by remote write."""
        request = b""
        for labels, samples in series:
            body = b"".join(field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in sorted(labels.items()))
            for at, value in samples:
                number = value if value is STALE else struct.pack("<d", float(value))
                body += field(2, b"\x09" + number + b"\x10" + varint(round(at * 1000)))
            request += field(1, body)
            if len(request) > 4_000_000:
                self.send(request)
                request = b""
        if request:
            self.send(request)

    def send(self, request):
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"}
        self.request("POST", "/api/v1/write", snappy(request), headers)


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def field(number, body):
    return bytes([number << 3 | 2]) + varint(len(body)) + body


def snappy(data):
    """Snappy's format without compression: literals only."""
    out = [varint(len(data))]
    for at in range(0, len(data), 65536):
        part = data[at : at + 65536]
        out += [b"\xf4" + struct.pack("<H", len(part) - 1), part]
    return b"".join(out)


def result(rule, labels):
    """The labels under which a result is stored."""
    labels = {name: value for name, value in labels.items() if name != "__name__"}
    fixed = {name: str(value) for name, value in (rule.get("labels") or {}).items() if "{{" not in str(value)}
    if "record" in rule:
        return {**labels, **fixed, "__name__": rule["record"]}
    return {**labels, **fixed, "__name__": "ALERTS", "alertname": rule["alert"], "alertstate": "firing"}


def active(samples, step):
    """The times at which an alert is active, each with the time since when."""
    since = last = None
    for at, _ in samples:
        if last is None or at - last > step:
            since = at
        last = at
        yield at, since


def evaluate(prometheus, rule, times, step):
    """The series that a rule yields at some times, as (labels, samples)."""
    if len(times) == 1:
        found = prometheus.ask("query", query=rule["expr"], time=times[0])
    else:
        found = []
        # Prometheus answers at most 11 000 points a series.
        for at in range(0, len(times), 10_000):
            part = times[at : at + 10_000]
            found += prometheus.ask("query_range", query=rule["expr"], start=part[0], end=part[-1], step=step)
    for labels, samples in found:
        labels = result(rule, labels)
        if "alert" in rule:
            pending = list(active(samples, step))
            state = {name: value for name, value in labels.items() if name != "alertstate"}
            yield {**state, "__name__": "ALERTS_FOR_STATE"}, pending
            samples = [(at, 1) for at, since in pending if at - since >= seconds(rule.get("for", "0s"))]
        if samples:
            yield labels, samples


def with_ends(samples, step, end):
    """The samples, and a mark wherever the series ends, as Prometheus sets it."""
    for n, (at, value) in enumerate(samples):
        yield at, value
        following = samples[n + 1][0] if n + 1 < len(samples) else end + step
        if following - at > 1.5 * step and at + step <= end:
            yield at + step, STALE


def main(url, start, end, step, rules=Path(__file__).parents[2] / "alerts/defender-scan.rules.yml"):
    prometheus = Prometheus(url)
    step, start, end = int(step), float(start), float(end)
    times = [end - step * back for back in range(int((end - start) // step), -1, -1)]
    for group in yaml.safe_load(Path(rules).read_text())["groups"]:
        own = group["rules"]
        remembers = any(rule.get("record", "?") in str(other["expr"]) for n, rule in enumerate(own) for other in own[: n + 1])
        if not remembers:
            for rule in own:
                found = evaluate(prometheus, rule, times, step)
                prometheus.write((labels, with_ends(samples, step, end)) for labels, samples in found)
            continue
        before = [{} for _ in own]
        for at in times:
            for n, rule in enumerate(own):
                now = {tuple(sorted(labels.items())): samples for labels, samples in evaluate(prometheus, rule, [at], step)}
                ended = {labels: [(at, STALE)] for labels in before[n] if labels not in now}
                prometheus.write((dict(labels), samples) for labels, samples in {**now, **ended}.items())
                before[n] = now


if __name__ == "__main__":
    main(*sys.argv[1:])
