#!/usr/bin/env python3
"""Exporters that have nothing to do, from their start over many scrapes:
idle.py OURS FOLDER, with the programs of Debian's packages in FOLDER."""

import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

STARTS = 5
SCRAPES = 1_000
TICKS = os.sysconf("SC_CLK_TCK")

# Nobody listens on this port: there is nothing to poll.
NOBODY = "http://127.0.0.1:9"
CONFIGURATION = f"""
tenants:
- name: contoso
  tenant_id: contoso.example
  api_base_url: {NOBODY}
  credential: {{type: token_file, path: token}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def start(command: list[str], folder: str) -> tuple[subprocess.Popen, http.client.HTTPConnection, float]:
    """The process, a connection to it, and the seconds until its first answer."""
    port = free_port()
    begun = time.monotonic()
    process = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{port}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            scrape(connection)
            return process, connection, time.monotonic() - begun
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() - begun > 30:
                sys.exit(f"expected {command[0]} to listen, but found that it does not")
            time.sleep(0.0005)


def scrape(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    size = len(response.read())
    if response.status != 200:
        sys.exit(f"expected HTTP 200, but found HTTP {response.status}")
    return size


def spent(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def version(program: str) -> str:
    told = subprocess.run([program, "--version"], capture_output=True, text=True)
    return re.search(r"\d+\.\d+\.\d+", told.stdout + told.stderr)[0]


def measure(name: str, command: list[str], folder: str) -> None:
    first, memory, each = [], [], []
    for _ in range(STARTS):
        process, connection, seconds = start(command, folder)
        try:
            before = spent(process.pid)
            size = max(scrape(connection) for _ in range(SCRAPES))
            each.append((spent(process.pid) - before) / SCRAPES)
            first.append(seconds)
            memory.append(resident(process.pid))
        finally:
            process.kill()
            process.wait()
    megabytes = os.path.getsize(command[0]) / 2**20
    print(
        f"| {name} {version(command[0])} | {megabytes:.1f} MiB | {min(first) * 1e3:.0f} ms | {min(memory):.1f} MiB "
        f"| {min(each) * 1e3:.2f} ms | {size / 1024:.1f} KiB |"
    )


def main(ours: str, folder: str) -> None:
    print("| at rest | program | until the first scrape is answered | memory (resident) | processor time of a scrape | its size |")
    print("| --- | --: | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as work:
        for name, text in (("exporter.yml", CONFIGURATION), ("token", "x"), ("blackbox.yml", "modules: {}\n")):
            with open(f"{work}/{name}", "w") as file:
                file.write(text)
            os.chmod(f"{work}/{name}", 0o600)
        measure("this exporter", [os.path.abspath(ours), "--config.file=exporter.yml", "--storage.path=state"], work)
        blackbox = os.path.abspath(f"{folder}/usr/bin/prometheus-blackbox-exporter")
        measure("blackbox_exporter", [blackbox, "--config.file=blackbox.yml"], work)
        elasticsearch = os.path.abspath(f"{folder}/usr/bin/prometheus-elasticsearch-exporter")
        measure("elasticsearch_exporter", [elasticsearch], work)


if __name__ == "__main__":
    main(*sys.argv[1:])
