#!/usr/bin/env python3
"""What a definition costs a Prometheus: series, memory of the head, and bytes on disk, by family.

    cargo build --release && tests/measure/prometheus_cost.py [DEFINITIONS] [MINUTES]

A real Prometheus scrapes the demo, for two minutes with few definitions and then for MINUTES with
many. Each figure is the difference of the two, divided by the difference of the definitions. The
demo's world runs sixty times as fast and is scraped each second, so that values change from sample
to sample as they do between scrapes a minute apart: MINUTES of this are as many hours. Memory is
read after a garbage collection. What is on disk is read from the index and the chunks of a
snapshot, which is one block.

Most values are constant, and then the times of the scrapes are what takes space: Prometheus takes
a scrape that is late by no more than its tolerance of 2 ms for one in time, which costs an eighth
of a byte a sample, and a later one costs two bytes. A busy machine is often late, and the tolerance
cannot be more than a hundredth of the interval. What an idle machine stores is measured so, which
takes 120 samples a series, as many as a chunk has:

    INTERVAL=5 TOLERANCE=50ms tests/measure/prometheus_cost.py 2000 10

INTERVAL is the seconds between two scrapes, a divisor of 60; the demo's world then runs as much
slower. TENANTS are 2, of at most 10 000 definitions each. EXPORTER and PROMETHEUS name other binaries than the release build and the one in the PATH.
"""

import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

EXPORTER = pathlib.Path(os.environ.get("EXPORTER", "target/release/defender-scan-exporter"))
PROMETHEUS = os.environ.get("PROMETHEUS", "prometheus")
TOLERANCE = os.environ.get("TOLERANCE", "2ms")
INTERVAL = int(os.environ.get("INTERVAL", "1"))
FEW, TENANTS, SPEED = 10, int(os.environ.get("TENANTS", "2")), 60 // INTERVAL
SAMPLES_A_DAY = 24 * 60
MEMORY = ("go_memstats_heap_inuse_bytes", "process_resident_memory_bytes")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(url, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=120) as answer:
        return answer.read().decode()


def wait_for(what, check):
    for _ in range(600):
        try:
            if check():
                return
        except OSError:
            pass
        time.sleep(0.5)
    sys.exit(f"expected {what} within 5 minutes, but it was not; see the logs above")


def query(server, expression):
    url = f"{server}/api/v1/query?query={urllib.request.quote(expression)}"
    result = json.loads(get(url))["data"]["result"]
    return float(result[0]["value"][1]) if result else 0.0


def memory(server):
    """Bytes in use once all garbage was collected: the least of some readings."""
    readings = []
    for _ in range(5):
        for _ in range(2):
            get(f"{server}/debug/pprof/heap?gc=1&debug=1")
        text = get(f"{server}/metrics")
        found = [re.search(rf"^{name} (\S+)", text, re.MULTILINE) for name in MEMORY]
        readings.append([float(value.group(1)) for value in found])
        time.sleep(3)
    return [min(column) for column in zip(*readings)]


def uvarint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def varint(data, at):
    value, at = uvarint(data, at)
    return (value >> 1) ^ -(value & 1), at


def symbols_of(index, at):
    (count,) = struct.unpack_from(">I", index, at + 4)
    at, symbols = at + 8, []
    for _ in range(count):
        length, at = uvarint(index, at)
        symbols.append(index[at : at + length].decode())
        at += length
    return symbols


def series_of(index):
    """The labels of each series of an index, and the places of its chunks."""
    assert index[:5] == b"\xba\xaa\xd7\x00\x02", "expected an index of version 2"
    symbols_at, at, *others = struct.unpack_from(">6Q", index, len(index) - 52)
    end = min(other for other in others if other > at)
    symbols = symbols_of(index, symbols_at)
    # Each begins at a multiple of 16.
    at = -(-at // 16) * 16
    while at < end:
        length, at = uvarint(index, at)
        next_series = -(-(at + length + 4) // 16) * 16
        labels, chunks = {}, []
        count, at = uvarint(index, at)
        for _ in range(count):
            name, at = uvarint(index, at)
            value, at = uvarint(index, at)
            labels[symbols[name]] = symbols[value]
        count, at = uvarint(index, at)
        place = 0
        for number in range(count):
            _, at = varint(index, at) if number == 0 else uvarint(index, at)
            _, at = uvarint(index, at)
            step, at = uvarint(index, at) if number == 0 else varint(index, at)
            place += step
            chunks.append(place)
        at = next_series
        yield labels, chunks


def block_of(folder):
    """Series, samples and bytes of chunks of each metric in a block, and the bytes of its index."""
    segments = [path.read_bytes() for path in sorted((folder / "chunks").iterdir())]
    index = (folder / "index").read_bytes()
    families, read = {}, 0
    for labels, chunks in series_of(index):
        family = families.setdefault(labels["__name__"], [0, 0, 0, 0])
        size = samples = 0
        for place in chunks:
            segment, at = segments[place >> 32], place & 0xFFFFFFFF
            length, data = uvarint(segment, at)
            size += data + 1 + length + 4 - at
            samples += struct.unpack_from(">H", segment, data + 1)[0]
        read += size
        is_ours = "definition_id" in labels
        for column, value in enumerate((1, samples, size, is_ours)):
            family[column] += value
    heads = 8 * len(segments)
    whole = sum(map(len, segments))
    stats = json.loads((folder / "meta.json").read_text())["stats"]
    counted = [sum(family[column] for family in families.values()) for column in (0, 1)]
    assert counted == [stats["numSeries"], stats["numSamples"]], (counted, stats)
    assert read + heads == whole, f"expected {whole} bytes of chunks, but found {read + heads}"
    return families, len(index)


def run(definitions, minutes, folder):
    """Scrapes the demo for some minutes; what Prometheus then holds."""
    exporter, server = (f"127.0.0.1:{free_port()}" for _ in range(2))
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {INTERVAL}s}}\n"
        f"scrape_configs: [{{job_name: defender, static_configs: [{{targets: ['{exporter}']}}]}}]\n"
    )
    log = (folder / "log").open("w")
    demo = [EXPORTER.resolve(), "demo", "--tenants", TENANTS, "--definitions", definitions // TENANTS]
    demo += ["--speed", SPEED, "--web.listen-address", exporter]
    prometheus = [PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--web.listen-address={server}"]
    prometheus += [f"--storage.tsdb.path={folder}/data", "--web.enable-admin-api"]
    prometheus += [f"--scrape.timestamp-tolerance={TOLERANCE}"]
    processes = [subprocess.Popen(list(map(str, demo)), cwd=folder, stdout=log, stderr=log)]
    try:
        known = "count(defender_scan_active)"
        url = f"http://{exporter}/metrics"
        wait_for("the definitions to be known", lambda: get(url).count("\ndefender_scan_active{") == definitions)
        processes.append(subprocess.Popen(prometheus, cwd=folder, stdout=log, stderr=log))
        server = f"http://{server}"
        wait_for("Prometheus to scrape", lambda: query(server, known) == definitions)
        time.sleep(minutes * 60)
        scraped = {
            "definitions": query(server, "count(defender_scan_active)"),
            "series": query(server, 'scrape_samples_scraped{job="defender"}'),
            "seconds": query(server, 'avg_over_time(scrape_duration_seconds{job="defender"}[5m])'),
            "missed": query(server, 'sum_over_time((1 - up{job="defender"})[1h:1s])'),
            "memory": memory(server),
        }
        name = json.loads(get(f"{server}/api/v1/admin/tsdb/snapshot", "POST"))["data"]["name"]
        blocks = [path for path in (folder / "data/snapshots" / name).iterdir() if path.is_dir()]
        assert len(blocks) == 1, "expected one block, but found more; run again, not across an even full hour in UTC"
        scraped["families"], scraped["index"] = block_of(blocks[0])
        return scraped
    except BaseException:
        print((folder / "log").read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        for process in processes:
            process.kill()
            process.wait()


def table(few, many):
    """The families of definitions, with what each adds for one of them."""
    added = many["definitions"] - few["definitions"]
    rows = []
    for name, family in many["families"].items():
        before = few["families"].get(name, [0, 0, 0, 0])
        if family[3] == 0:
            continue
        series, samples, size, _ = (now - then for now, then in zip(family, before))
        rows.append((series / added, size / samples, size / samples * SAMPLES_A_DAY * series / added, name))
    rows.sort(key=lambda row: -row[2])
    all_series, all_bytes = sum(row[0] for row in rows), sum(row[2] for row in rows)
    print("| family | series | share of series | bytes a sample | bytes a day | share of bytes |")
    print("| --- | --: | --: | --: | --: | --: |")
    for series, a_sample, a_day, name in rows:
        shares = series / all_series, a_day / all_bytes
        print(f"| `{name}` | {series:.1f} | {shares[0]:.0%} | {a_sample:.2f} | {a_day:.0f} | {shares[1]:.0%} |")
    mean = all_bytes / all_series / SAMPLES_A_DAY
    print(f"| all | {all_series:.1f} | 100% | {mean:.2f} | {all_bytes:.0f} | 100% |")
    return all_series


def main():
    definitions = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    definitions -= definitions % TENANTS
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else 10
    runs = []
    for number, lasting in ((FEW, min(minutes, 2)), (definitions, minutes)):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(run(number, lasting, pathlib.Path(folder)))
        found = runs[-1]
        heap, resident = (value / 2**20 for value in found["memory"])
        print(
            f"{found['definitions']:.0f} definitions: {found['series']:.0f} samples a scrape,"
            f" {found['seconds']:.3f} s a scrape, {found['missed']:.0f} missed,"
            f" heap {heap:.1f} MiB, resident {resident:.1f} MiB"
        )
    few, many = runs
    added = many["definitions"] - few["definitions"]
    series = table(few, many)
    for name, now, then in zip(MEMORY, many["memory"], few["memory"]):
        print(f"{name}: {(now - then) / added:.0f} a definition, {(now - then) / added / series:.0f} a series")
    index = (many["index"] - few["index"]) / added
    print(f"index: {index:.0f} bytes a definition and block, {index / series:.0f} a series and block")


main()
