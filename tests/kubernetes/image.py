"""Makes docker archives without a registry, each of one layer:

    image.py ARCHIVE NAME CONFIG SRC=DST[:UID:GID[:MODE]]...     of files; SRC `DIR` is an empty folder
    image.py ARCHIVE NAME --dockerfile BINARY                    of the last stage of the Dockerfile
"""

import hashlib
import io
import json
import os
import platform
import re
import sys
import tarfile


def dockerfile(binary):
    """Configuration and files of the last stage, with `binary` for the one that is built."""
    text = open("Dockerfile").read().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    last = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    # What the build makes, and where it is on this machine.
    made = {"/image": "DIR", "/defender-scan-exporter": binary, "/etc/ssl/certs/ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt"}
    mode = re.search(r"chmod (\d+) /image/data", text)
    config, files = {"Env": [], "Volumes": {}}, []
    for line in lines[last + 1 :]:
        name, value = line.split(None, 1)
        if name == "COPY":
            owner = re.search(r"--chown=(\d+:\d+)", value)
            source, target = value.split()[-2:]
            if source == "/image":
                # All that it holds.
                target += "data"
            entry = f"{made[source]}={target}:{owner[1] if owner else '0:0'}"
            files.append(entry + (f":{mode[1]}" if made[source] == "DIR" and mode else ""))
        elif name == "USER":
            config["User"] = value
        elif name == "ENV":
            config["Env"] += value.split()
        elif name == "VOLUME":
            config["Volumes"] = {path: {} for path in json.loads(value)}
        elif name in ("ENTRYPOINT", "CMD"):
            config[{"ENTRYPOINT": "Entrypoint", "CMD": "Cmd"}[name]] = json.loads(value)
    return config, files


def layer_of(entries):
    layer, folders = io.BytesIO(), set()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for entry in entries:
            source, target = entry.split("=", 1)
            path, *owner = target.split(":")
            path = path.lstrip("/")
            for end in [at for at, character in enumerate(path) if character == "/"]:
                if path[:end] not in folders:
                    folders.add(path[:end])
                    above = tarfile.TarInfo(path[:end])
                    above.type, above.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(above)
            info = tarfile.TarInfo(path)
            info.uid, info.gid = (int(number) for number in owner[:2]) if owner else (0, 0)
            if source == "DIR":
                folders.add(path)
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            else:
                info.size, info.mode = os.path.getsize(source), os.stat(source).st_mode & 0o777
            if len(owner) > 2:
                info.mode = int(owner[2], 8)
            if source == "DIR":
                tar.addfile(info)
            else:
                with open(source, "rb") as content:
                    tar.addfile(info, content)
    return layer.getvalue()


def main():
    archive, name, config, *rest = sys.argv[1:]
    if config == "--dockerfile":
        config, rest = dockerfile(*rest)
    else:
        config = json.loads(config)
    body = layer_of(rest)
    digest = hashlib.sha256(body).hexdigest()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    image = json.dumps({
        "architecture": architecture, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
        "history": [{"created_by": "image.py"}],
    }).encode()
    image_name = hashlib.sha256(image).hexdigest() + ".json"
    manifest = json.dumps([{"Config": image_name, "RepoTags": [name], "Layers": [digest + "/layer.tar"]}]).encode()
    with tarfile.open(archive, "w") as tar:
        for member, content in ((digest + "/layer.tar", body), (image_name, image), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


main()
