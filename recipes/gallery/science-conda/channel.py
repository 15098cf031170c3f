"""Makes a conda channel of the directories in PACKAGES: one package of each, and what lists them.

    channel.py PACKAGES CHANNEL
"""
import hashlib
import io
import json
import pathlib
import sys
import tarfile

PREFIX = "/opt/placeholder" + "_placehold" * 12  # what the installer replaces with the prefix


def add(tar, name, data, mode=0o644):
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), mode
    tar.addfile(member, io.BytesIO(data))


def package(source, out):
    meta = json.loads((source / "meta.json").read_text())
    files = sorted(path for path in (source / "files").rglob("*") if path.is_file())
    paths, stem = [], f"{meta['name']}-{meta['version']}-{meta['build']}"
    with tarfile.open(out / f"{stem}.tar.bz2", "w:bz2") as tar:
        for path in files:
            name = str(path.relative_to(source / "files"))
            text = path.read_text().replace("@PREFIX@", PREFIX).encode()
            add(tar, name, text, 0o755 if name.startswith("bin/") else 0o644)
            entry = {"_path": name, "path_type": "hardlink", "sha256": hashlib.sha256(text).hexdigest(), "size_in_bytes": len(text)}
            if PREFIX.encode() in text:
                entry |= {"prefix_placeholder": PREFIX, "file_mode": "text"}
            paths.append(entry)
        add(tar, "info/index.json", json.dumps(meta).encode())
        add(tar, "info/paths.json", json.dumps({"paths": paths, "paths_version": 1}).encode())
        add(tar, "info/files", "\n".join(entry["_path"] for entry in paths).encode())
    data = (out / f"{stem}.tar.bz2").read_bytes()
    digests = {"md5": hashlib.md5(data).hexdigest(), "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return f"{stem}.tar.bz2", meta | digests


packages, channel = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
for subdir in ("noarch", "linux-64"):
    (channel / subdir).mkdir(parents=True)
    made = dict(package(source, channel / subdir) for source in sorted(packages.iterdir())
                if json.loads((source / "meta.json").read_text())["subdir"] == subdir)
    (channel / subdir / "repodata.json").write_text(json.dumps({"info": {"subdir": subdir}, "packages": made, "packages.conda": {}}))
