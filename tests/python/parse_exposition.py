#!/usr/bin/env python3
"""Parses an exposition with PyPI's prometheus_client and prints a digest.

usage: parse_exposition.py openmetrics|classic [FILE]

Reads FILE or standard input. One line a family: its type, its name, its unit
and its number of samples; a last line with the totals. Exits with 1 and the
parser's complaint if the text is not valid.
"""

import sys


def main() -> int:
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in ("openmetrics", "classic"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        from prometheus_client.openmetrics import parser as openmetrics
        from prometheus_client import parser as classic
    except ImportError as error:
        print(f"{error}: run `pip install prometheus_client`", file=sys.stderr)
        return 3
    if len(sys.argv) == 3:
        with open(sys.argv[2], "rb") as file:
            data = file.read()
    else:
        data = sys.stdin.buffer.read()
    text = data.decode("utf-8")
    parser = openmetrics if sys.argv[1] == "openmetrics" else classic

    families = 0
    samples = 0
    seen = set()
    names = set()
    try:
        for family in parser.text_string_to_metric_families(text):
            if family.name in names:
                raise ValueError(f"family {family.name} is not contiguous")
            if not family.documentation:
                raise ValueError(f"family {family.name} has no HELP")
            names.add(family.name)
            families += 1
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                if key in seen:
                    raise ValueError(f"duplicate sample {sample.name}")
                if sample.timestamp is not None or sample.exemplar is not None:
                    raise ValueError(f"{sample.name} has a timestamp or an exemplar")
                seen.add(key)
                samples += 1
            unit = family.unit or "-"
            print(family.type, family.name, unit, len(family.samples))
    except (ValueError, KeyError, IndexError) as error:
        print(f"not valid: {error!r}", file=sys.stderr)
        return 1
    print("total", families, samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
