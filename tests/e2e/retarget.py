#!/usr/bin/env python3
"""Makes an image of a store one for another platform, as far as its config says.

    retarget.py STORE NAME ARCHITECTURE [VARIANT]
"""
import hashlib
import json
import os
import sys

store, name, architecture, *variant = sys.argv[1:]


def blob(digest):
    return os.path.join(store, "blobs", digest.replace(":", "/"))


def read(digest):
    with open(blob(digest), encoding="utf-8") as file:
        return json.load(file)


def put(document):
    data = json.dumps(document, separators=(",", ":")).encode()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    with open(blob(digest), "wb") as file:
        file.write(data)
    return {"digest": digest, "size": len(data)}


with open(os.path.join(store, "index.json"), encoding="utf-8") as file:
    index = json.load(file)
for entry in index["manifests"]:
    if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") != name:
        continue
    manifest = read(entry["digest"])
    config = read(manifest["config"]["digest"])
    config["architecture"] = architecture
    config.pop("variant", None)
    if variant:
        config["variant"] = variant[0]
    manifest["config"].update(put(config))
    entry.update(put(manifest))
    entry["platform"] = {"architecture": architecture, "os": "linux", **({"variant": variant[0]} if variant else {})}
with open(os.path.join(store, "index.json"), "w", encoding="utf-8") as file:
    json.dump(index, file)
