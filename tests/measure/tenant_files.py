#!/usr/bin/env python3
"""How long a configuration of 1 000 and of 10 000 tenants takes to check, to start and to reload.

    cargo build --release && tests/measure/tenant_files.py

The tenants are in files of 100. Each way of proving who they are is measured: a secret in a file
of its own, one in the tenant file, and one certificate that `defaults` names. Nothing answers at
the addresses of the API and of the sign-in host.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

from exporter import start

PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/defender-scan-exporter")
CERTIFICATES = pathlib.Path("tests/config/certificates").resolve()
TENANTS, A_FILE, ROUNDS = (1_000, 10_000), 100, 3
APPLICATION = "9b6f0000-0000-4000-8000-000000000001"
KEYS = {
    "secret files": "{{client_secret_file: ../secrets/{name}}}",
    "inline secrets": "{{client_secret: s3cr3t~{name}}}",
    "one certificate": "",
}


def write(folder, count, kind):
    """The configuration, its tenant files, and the files with secrets."""
    of_all = f"type: client_secret, client_id: {APPLICATION}"
    if not KEYS[kind]:
        of_all = (
            f"type: client_certificate, client_id: {APPLICATION}, "
            f"certificate_file: {CERTIFICATES}/good.pem"
        )
    (folder / "exporter.yml").write_text(
        "tenant_files: ['tenants/*.yml']\n"
        "defaults:\n"
        "  api_base_url: https://127.0.0.1:9\n"
        "  authority_host: https://127.0.0.1:9\n"
        "  labels: {provider: example}\n"
        "  definitions: {include: {names: ['prod-.*', 'office-[0-9]+']}}\n"
        f"  credential: {{{of_all}}}\n"
    )
    for name in ("tenants", "secrets"):
        (folder / name).mkdir()
    for first in range(0, count, A_FILE):
        lines = ["tenants:\n"]
        for number in range(first, first + A_FILE):
            name = f"customer-{number:05}"
            lines.append(f"  - name: {name}\n    tenant_id: 3f0e6d0e-0000-4000-8000-{number:012}\n")
            lines.append(f"    labels: {{customer: '{number}'}}\n")
            if KEYS[kind]:
                lines.append(f"    credential: {KEYS[kind].format(name=name)}\n")
            if kind == "secret files":
                secret = folder / "secrets" / name
                secret.write_text(f"s3cr3t~{number}")
                secret.chmod(0o600)
        file = folder / "tenants" / f"{first:05}.yml"
        file.write_text("".join(lines))
        file.chmod(0o600)


def check(folder):
    """The seconds of the fastest of some checks."""
    times = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        command = [PROGRAM.resolve(), "check-config", "--config.file", "exporter.yml"]
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        times.append(time.monotonic() - began)
        if said.returncode != 0 or "warning" in said.stdout:
            sys.exit(said.stdout[:2_000] + said.stderr[:2_000])
    return min(times)


def run(folder):
    """The seconds until the exporter listens, and of a reload in which one tenant changed."""
    arguments = ["--config.file", "exporter.yml", "--web.enable-lifecycle"]
    process, address, began = start(PROGRAM, folder, *arguments)
    listens = time.monotonic() - began
    try:
        times = []
        for number in range(ROUNDS):
            # The polling of so many tenants that cannot sign in takes its share of the machine.
            time.sleep(2)
            file = folder / "tenants" / "00000.yml"
            text = re.sub(r"customer: '0\d*'", f"customer: '0{number}'", file.read_text(), count=1)
            file.write_text(text)
            request = urllib.request.Request(f"{address}/-/reload", method="POST")
            began = time.monotonic()
            with urllib.request.urlopen(request) as answer:
                answer.read()
            times.append(time.monotonic() - began)
        changed = (folder / "log").read_text().count("changed=1")
        if changed != ROUNDS:
            sys.exit(f"expected {ROUNDS} reloads of one changed tenant, but found {changed}")
        return listens, min(times)
    finally:
        process.terminate()
        process.wait()


def main():
    print("| tenants | who they are | check-config | until it listens | reload |")
    print("| --- | --- | --- | --- | --- |")
    for count in TENANTS:
        for kind in KEYS:
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                write(folder, count, kind)
                seconds = [check(folder), *run(folder)]
                cells = " | ".join(f"{second:.2f} s" for second in seconds)
                print(f"| {count} | {kind} | {cells} |", flush=True)


main()
