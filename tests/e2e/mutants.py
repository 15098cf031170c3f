"""Every value of an image's JSON, one at a time, made into what it should not be.

    mutants.py SBUILD LAYOUT KIND     KIND: layout, archive

LAYOUT is an OCI image layout with one image. Prints each command that ended by a signal or took
longer than ten seconds, and at the end how many were run."""
import copy
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile

VALUES = [None, -1, 2**63 - 1, "", "x" * 70000, "sha512:" + "0" * 128, "sha256:" + "0" * 64,
          "\x1b[31m\u202e\x9b", "application/x-unknown", "application/vnd.oci.image.index.v1+json", [], {},
          [None], {"x": None}]
RAW = ["", "[" * 3000, '{"a":' * 3000 + "1" + "}" * 3000, '{"a":1,"a":2}', "1e999", "\xff", '"\\u0000"',
       "99999999999999999999999", "null", "{", "NaN"]


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], path + (key,))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from places(item, path + (i,))


def mutants(document):
    for path in places(document):
        for value in VALUES + ["remove", "twice"]:
            new = copy.deepcopy(document)
            if not path:
                if value not in ("remove", "twice"):
                    yield json.dumps(value)
                continue
            at = new
            for key in path[:-1]:
                at = at[key]
            if value == "remove":
                del at[path[-1]]
            elif value == "twice":
                if not isinstance(at, list):
                    continue
                at.append(copy.deepcopy(at[path[-1]]))
            else:
                at[path[-1]] = value
            yield json.dumps(new)
    yield from RAW


class Layout:
    def __init__(self, path):
        self.path = path
        self.index = json.load(open(path + "/index.json"))
        self.manifest = json.loads(self.blob(self.index["manifests"][0]["digest"]))
        self.config = json.loads(self.blob(self.manifest["config"]["digest"]))

    def blob(self, digest):
        return open(self.path + "/blobs/sha256/" + digest[7:], "rb").read()

    def put(self, text):
        data = text.encode("latin-1", "replace") if text == "\xff" else text.encode()
        digest = hashlib.sha256(data).hexdigest()
        with open(self.path + "/blobs/sha256/" + digest, "wb") as file:
            file.write(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    def variants(self):
        """Texts of index.json."""
        yield from mutants(self.index)
        for text in mutants(self.manifest):
            index = copy.deepcopy(self.index)
            index["manifests"][0].update(self.put(text))
            yield json.dumps(index)
        for text in mutants(self.config):
            manifest, index = copy.deepcopy(self.manifest), copy.deepcopy(self.index)
            manifest["config"].update(self.put(text))
            index["manifests"][0].update(self.put(json.dumps(manifest)))
            yield json.dumps(index)


def run(arguments, text):
    global count
    count += 1
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=10)
    except subprocess.TimeoutExpired:
        print("too slow:", *arguments, "with", text[:300])
        return
    if done.returncode < 0 or done.returncode > 7:
        print("status", done.returncode, *arguments, "with", text[:300])
    bad = [c for c in done.stdout.decode("utf-8", "surrogateescape")
           if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or ord(c) == 0x202E or ord(c) >= 0xDC80 and ord(c) < 0xDD00]
    if bad:
        print("controls", bad[:3], *arguments, "with", text[:300])


def main():
    sbuild, path, kind = sys.argv[1:]
    layout = Layout(path)
    if kind == "layout":
        shutil.copytree(path, path + ".other")
        for text in layout.variants():
            with open(path + "/index.json", "w") as file:
                file.write(text)
            for command in COMMANDS:
                run([sbuild, *command], text)
            run([sbuild, "tag", "--store", path + ".other", "oci:" + path, "imported:v1"], text)
        return
    work = path + ".archive.tar"
    item = [{"Config": layout.manifest["config"]["digest"][7:] + ".json", "RepoTags": ["x:v1"],
             "Layers": [l["digest"][7:] + ".tar" for l in layout.manifest["layers"]]}]
    files = {item[0]["Config"]: json.dumps(layout.config).encode()}
    for layer, name in zip(layout.manifest["layers"], item[0]["Layers"]):
        files[name] = layout.blob(layer["digest"])

    def write(manifest, config):
        with tarfile.open(work, "w") as tar:
            for name, data in [("manifest.json", manifest), *files.items()]:
                data = config if config is not None and name == item[0]["Config"] else data
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))

    for text in mutants(item):
        write(text.encode("utf-8", "replace"), None)
        run([sbuild, "tag", "docker-archive:" + work, "imported:v1"], text)
    for text in mutants(layout.config):
        write(json.dumps(item).encode(), text.encode("utf-8", "replace"))
        run([sbuild, "tag", "docker-archive:" + work, "imported:v1"], text)


COMMANDS = [["images"], ["inspect", "m:v1"], ["inspect", "m:v1", "--json"]]
count = 0
main()
print(count, "commands were run")
