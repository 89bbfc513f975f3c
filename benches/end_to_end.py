#!/usr/bin/env python3
"""Scrapes of a running exporter beside nginx, which serves the same bytes from a
file: end_to_end.py URL PID. Needs Debian's wrk, nginx-light and curl."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time

ROUNDS = 3
SECONDS = 5
CONNECTIONS = 4
TICKS = os.sysconf("SC_CLK_TCK")


def memory(pid: str, field: str) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


def spent(pid: str) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def fetch(url: str, path: str, *headers: str) -> None:
    subprocess.run(["curl", "-sSf", "--noproxy", "*", "-o", path, *headers, url], check=True)


def wrk(url: str, *headers: str) -> tuple[float, float]:
    """Requests a second and the 99th percentile in milliseconds."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "30s", "--latency", *headers, url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text:
        sys.exit(f"expected answers of 200 from {url}, but found others:\n{text}")
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", text).groups()
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), float(value) * scale


def nginx(folder: str) -> tuple[subprocess.Popen, int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = f"""
daemon off; master_process on; worker_processes auto; pid {folder}/pid; error_log {folder}/errors;
{"user root;" if os.geteuid() == 0 else ""}
events {{}}
http {{
  access_log off; sendfile on; tcp_nopush on; gzip_static on; default_type text/plain;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""
    path = f"{folder}/nginx.conf"
    with open(path, "w") as file:
        file.write(configuration)
    server = subprocess.Popen(["/usr/sbin/nginx", "-c", path], stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server, port
        except OSError:
            time.sleep(0.05)
    sys.exit("expected nginx to listen, but found that it does not")


def main(url: str, pid: str) -> None:
    rest = memory(pid, "VmRSS:")
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/www")
        plain = f"{folder}/www/metrics"
        gzip = ("-H", "Accept-Encoding: gzip")
        fetch(url, plain)
        fetch(url, plain + ".gz", *gzip)
        size, small = (os.path.getsize(path) / 2**20 for path in (plain, plain + ".gz"))
        server, port = nginx(folder)
        theirs = f"http://127.0.0.1:{port}/metrics"
        try:
            print("| scrapes over loopback | exporter | nginx, a file | ratio |\n| --- | --: | --: | --: |")
            for name, megabytes, headers in (("plain", size, ()), ("gzip", small, gzip)):
                ours_best, theirs_best, cpu = (0.0, 0.0), (0.0, 0.0), []
                for _ in range(ROUNDS):
                    before = spent(pid)
                    result = wrk(url, *headers)
                    cpu.append((spent(pid) - before) / (result[0] * SECONDS))
                    ours_best = max(ours_best, result)
                    theirs_best = max(theirs_best, wrk(theirs, *headers))
                print(
                    f"| {name}, {megabytes:.1f} MiB | {ours_best[0]:.1f}/s, p99 {ours_best[1]:.1f} ms, "
                    f"{min(cpu) * 1e3:.2f} ms of processor time each "
                    f"| {theirs_best[0]:.1f}/s, p99 {theirs_best[1]:.1f} ms | {ours_best[0] / theirs_best[0]:.2f} |"
                )
        finally:
            server.terminate()
            server.wait()
    loaded, peak = memory(pid, "VmRSS:"), memory(pid, "VmHWM:")
    print("\n| memory (resident) | MiB | beyond 20 MB ÷ a plain body |\n| --- | --: | --: |")
    for name, value in (("before", rest), ("after the scrapes", loaded), ("at its highest", peak)):
        print(f"| {name} | {value:.1f} | {(value * 2**20 - 20e6) / (size * 2**20):.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
