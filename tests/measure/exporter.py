"""An exporter that is measured from outside."""

import pathlib
import re
import subprocess
import sys
import time


def start(program, folder, *arguments):
    """The process, the address at which it listens by now, and when it was started."""
    log = folder / "log"
    command = [pathlib.Path(program).resolve(), *arguments, "--storage.path", folder / "state"]
    command += ["--web.listen-address", "127.0.0.1:0"]
    with log.open("w") as output:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    while not (found := re.search(r"address=(127\.0\.0\.1:\d+)", log.read_text())):
        if process.poll() is not None:
            sys.exit(log.read_text()[:2_000])
        time.sleep(0.005)
    return process, f"http://{found.group(1)}", began
