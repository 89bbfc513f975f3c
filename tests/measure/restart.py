#!/usr/bin/env python3
"""How soon after `kill -9` the old data is served again: 100 000 definitions in the state.

    cargo build --release && tests/measure/restart.py

The demo fills the state with 10 tenants of 10 000 definitions; then the exporter is started on
the same state with an API that is not there, so that all it can serve comes from before.
"""

import pathlib
import re
import sys
import tempfile
import time
import urllib.request

from exporter import start

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "target/release/defender-scan-exporter"
TENANTS, DEFINITIONS, ROUNDS = 10, 10_000, 3


def scrape(url):
    """How many definitions there are, the bytes, and when the first and the last of them came."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        text = answer.read(1)
        first = time.monotonic()
        text += answer.read()
    return text.count(b"\ndefender_scan_active{"), len(text), first, time.monotonic()


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        demo, url, _ = start(PROGRAM, folder, "demo", "--tenants", str(TENANTS), "--definitions", str(DEFINITIONS))
        while scrape(url)[0] < TENANTS * DEFINITIONS:
            time.sleep(10)
        # What is published is saved. What history tells of them goes on to come.
        time.sleep(30)
        # What is known of another directory under the same name would be forgotten.
        with urllib.request.urlopen(f"{url}/config") as answer:
            found = re.findall(r'name: "(.*)"\n +tenant_id: "(.*)"', answer.read().decode())
        demo.kill()
        demo.wait()
        (folder / "token").write_text("no token at all")
        (folder / "token").chmod(0o600)
        tenants = "".join(
            f"  - name: {tenant}\n"
            f"    tenant_id: {directory}\n"
            "    api_base_url: http://127.0.0.1:9\n"
            "    credential: {type: token_file, path: token}\n"
            for tenant, directory in found
        )
        (folder / "exporter.yml").write_text(f"tenants:\n{tenants}")
        for _ in range(ROUNDS):
            process, url, began = start(PROGRAM, folder, "--config.file", folder / "exporter.yml")
            count, size, first, last = scrape(url)
            process.kill()
            process.wait()
            print(
                f"{count} of {TENANTS * DEFINITIONS} definitions, {size / 1e6:.0f} MB: "
                f"first byte after {first - began:.2f} s, last after {last - began:.2f} s"
            )
            if count == 0:
                sys.exit(f"nothing was restored:\n{(folder / 'log').read_text()}")


main()
