"""What a scrape of the same families costs PyPI's prometheus_client: seconds of
processor time, the least of several. Usage: pypi.py DEFINITIONS"""

import sys
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

GAUGES = [
    "last_timestamp_seconds",
    "last_age_seconds",
    "last_success_timestamp_seconds",
    "status_code",
    "interval_seconds",
    "active",
    "targets",
    "targets_succeeded",
]
LABELS = ["tenant", "definition_id"]


def main(definitions: int) -> None:
    registry = CollectorRegistry()
    ids = [f"{number:08x}-4b1c-4d2e-8f3a-{number * 7919:012x}" for number in range(definitions)]
    for name in GAUGES:
        gauge = Gauge(f"defender_scan_{name}", name, LABELS, registry=registry)
        for definition in ids:
            gauge.labels("contoso", definition).set(1790000000.123)
    sessions = Counter("defender_scan_sessions", "sessions", [*LABELS, "status"], registry=registry)
    for definition in ids:
        for status in ["success", "partial_success", "failure", "unknown"]:
            sessions.labels("contoso", definition, status).inc()
    more = ["scan_name", "scan_type", "target_type", "agent_id"]
    info = Gauge("defender_scan_definition_info", "info", [*LABELS, *more], registry=registry)
    for number, definition in enumerate(ids):
        info.labels("contoso", definition, f"Network scan of site {number}", "Network", "Ip", ids[0]).set(1)
    least = float("inf")
    for _ in range(3):
        before = time.process_time()
        generate_latest(registry)
        least = min(least, time.process_time() - before)
    print(least)


if __name__ == "__main__":
    main(int(sys.argv[1]))
