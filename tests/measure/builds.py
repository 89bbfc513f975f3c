#!/usr/bin/env python3
"""Builds of the exporter beside each other: what the same work costs each of them.

    cargo build --profile dist
    cargo build --profile dist --target x86_64-unknown-linux-musl
    tests/measure/builds.py target/dist/defender-scan-exporter \
        target/x86_64-unknown-linux-musl/dist/defender-scan-exporter

Each runs a demo of 10 tenants with 1 000 definitions, by turns. The demo's simulator takes part of
the processor's time.
"""

import os
import pathlib
import re
import sys
import tempfile
import time
import urllib.request

from exporter import start

TENANTS, DEFINITIONS, SCRAPES, ROUNDS = 10, 1_000, 20, 2
# Until the histories are in.
SETTLING_SECONDS = 10
TICKS = os.sysconf("SC_CLK_TCK")


def scrape(url, encoding="identity"):
    began = time.monotonic()
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept-Encoding": encoding})) as answer:
        text = answer.read()
    return text, 1000 * (time.monotonic() - began)


def measure(program, folder):
    demo = ["demo", "--tenants", str(TENANTS), "--definitions", str(DEFINITIONS)]
    process, address, _ = start(program, folder, *demo)
    url = f"{address}/metrics"
    while scrape(url)[0].count(b"\ndefender_scan_active{") < TENANTS * DEFINITIONS:
        time.sleep(1)
    time.sleep(SETTLING_SECONDS)
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    spent = (int(fields[11]) + int(fields[12])) / TICKS
    plain = min(scrape(url)[1] for _ in range(SCRAPES))
    gzip = min(scrape(url, "gzip")[1] for _ in range(SCRAPES))
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024
    process.terminate()
    process.wait()
    print(
        f"{program}: processor until all is known {spent:.1f} s, "
        f"warm scrape {plain:.1f} ms, with gzip {gzip:.1f} ms, resident {resident:.0f} MiB",
        flush=True,
    )


def main():
    programs = [pathlib.Path(argument).resolve() for argument in sys.argv[1:]]
    if not programs:
        sys.exit(__doc__)
    for program in programs * ROUNDS:
        with tempfile.TemporaryDirectory() as folder:
            measure(program, pathlib.Path(folder))


main()
