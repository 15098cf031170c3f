#!/usr/bin/env python3
"""Odd layers, each of which every reader must see alike.

    layers-odd.py image DIR LAYER…  an OCI layout in DIR, image "odd"; a layer: "NAME TYPE MODE LINK, NAME TYPE MODE", with
                                    tar's types, and MAJOR:MINOR for the link of a device; names are below t/, or absolute
    layers-odd.py make FIRST COUNT  OCI layouts in case-SEED/layout, image "odd": two to four layers of odd entries in t/,
                                    the members in layout.txt; and layout.umoci, if umoci should see the same
    layers-odd.py tar FILE          what a tar has below t/, one line an entry
    layers-odd.py tree DIR          the same of a directory, made by somebody else
    layers-odd.py listing FILE      the same of what the step of layers-odd.sh printed
    layers-odd.py umoci FILE        FILE, such a list of the image in layout, without what umoci makes of implied directories
    layers-odd.py read KIND FILE OUT…  several of the last four, each printed to OUT

A line: path, type, mode, and the size of a file, the target of a symlink, or the device. Hard links are
listed as what they lead to.
"""
import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import stat
import sys
import tarfile

NAMES = ["a", "b", "c", "d"]


def put(where, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{where}/blobs/sha256/{digest}", "wb") as blob:
        blob.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def path_of(rng, most=3):
    return "/".join(rng.choice(NAMES) for _ in range(rng.randint(1, most)))


class Layer:
    """One layer; lines are its members."""

    def __init__(self, rng):
        self.rng, self.out, self.lines = rng, io.BytesIO(), []
        self.tar = tarfile.open(fileobj=self.out, mode="w", format=tarfile.PAX_FORMAT)
        self.files = []
        self.size = rng.randint(1, 50)

    def add(self, name, kind=tarfile.REGTYPE, mode=0o644, link="", device=(0, 0)):
        info = tarfile.TarInfo(name[1:] if name.startswith("/") else "t/" + name)
        info.type, info.mode, info.linkname, info.mtime = kind, mode, link, 1
        info.devmajor, info.devminor = device
        data = None
        if kind == tarfile.REGTYPE:
            self.size += self.rng.randint(1, 50)
            info.size = self.size
            data = io.BytesIO(b"x" * self.size)
        self.tar.addfile(info, data)
        self.lines.append(f"{name} {kind.decode()} {mode:o} {link or (device if kind == tarfile.CHRTYPE else '')}")

    def member(self, below):
        rng = self.rng
        path = path_of(rng)
        parent, _, name = path.rpartition("/")
        what = rng.random()
        if what < 0.3:
            self.add(path, tarfile.DIRTYPE, rng.choice([0o755, 0o700, 0o711]))
        elif what < 0.55:
            self.add(path, mode=rng.choice([0o644, 0o600, 0o755]))
            self.files.append(path)
        elif what < 0.63:
            self.add(path, tarfile.SYMTYPE, 0o777, rng.choice(["a", "../b", "/t/a", "gone", "a/b"]))
        elif what < 0.70 and self.files:
            self.link(path)
        elif what < 0.74:
            self.add(path, tarfile.FIFOTYPE, 0o620)
        elif what < 0.77:
            self.add(path, tarfile.CHRTYPE, 0o600, device=rng.choice([(0, 0), (1, 3), (1, 5)]))
        elif what < 0.93 and below:
            self.add(f"{parent}/.wh.{name}" if parent else f".wh.{name}", mode=0)
        elif below:
            self.add(f"{path}/.wh..wh..opq", mode=0)
        else:
            self.add(path, tarfile.DIRTYPE, 0o750)

    def link(self, path):
        """To a file that this layer has as yet."""
        target = self.rng.choice(self.files)
        if not path.startswith(target + "/") and not target.startswith(path + "/") and path != target:
            self.add(path, tarfile.LNKTYPE, link="t/" + target)

    def data(self):
        self.tar.close()
        return self.out.getvalue()


def is_sound(lines):
    """Whether it can be unpacked at all: no hard link to what is not there, nothing below a file; what this
    rule leaves of such, all have to refuse. What a link leads to may be replaced afterwards."""
    seen, files = set(), set()
    for line in lines:
        name, kind, *_ = line.split(" ")
        parents = [name[:i] for i, c in enumerate(name) if c == "/"]
        if files.intersection(parents):
            return False
        for have in list(seen):
            if have == name or have.startswith(name + "/") or name.startswith(have + "/"):
                if kind != "5" or have != name:
                    seen.discard(have)
        if kind == "1" and line.split("t/", 1)[1].strip() not in seen:
            return False
        if "/.wh." in "/" + name:
            continue
        if kind in "01":
            seen.add(name)
        (files.discard if kind in "52" else files.add)(name)
    return True


def through_lower(layers):
    """Whether a name goes through a symlink of a layer below: umoci follows it, Docker replaces it."""
    links = set()
    for lines in layers:
        own = set()
        for line in lines:
            name, kind, *_ = line.split(" ")
            parents = [name[:i] for i, c in enumerate(name) if c == "/"]
            if links.intersection(parents):
                return True
            if kind == "2":
                own.add(name)
        links |= own
    return False


def write(layers, where):
    os.makedirs(where + "/blobs/sha256", exist_ok=True)
    diff_ids, blobs, text = [], [], []
    for number, layer in enumerate(layers):
        data = layer.data()
        diff_ids.append("sha256:" + hashlib.sha256(data).hexdigest())
        blob = put(where, gzip.compress(data, mtime=0))
        blobs.append(dict(blob, mediaType="application/vnd.oci.image.layer.v1.tar+gzip"))
        text += [f"layer {number}"] + ["  " + line for line in layer.lines]
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
              "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": blobs,
                "config": dict(put(where, json.dumps(config).encode()),
                               mediaType="application/vnd.oci.image.config.v1+json")}
    entry = dict(put(where, json.dumps(manifest).encode()), mediaType=manifest["mediaType"],
                 annotations={"org.opencontainers.image.ref.name": "odd"})
    with open(where + "/index.json", "w", encoding="utf-8") as index:
        json.dump({"schemaVersion": 2, "manifests": [entry]}, index)
    with open(where + "/oci-layout", "w", encoding="utf-8") as layout:
        layout.write('{"imageLayoutVersion":"1.0.0"}')
    with open(where + ".txt", "w", encoding="utf-8") as out:
        out.write("\n".join(text) + "\n")


def image(where, *texts):
    layers = []
    for text in texts:
        layer = Layer(random.Random(0))
        for member in text.split(", "):
            name, kind, mode, *link = member.split(" ")
            if kind == "3":
                layer.add(name, tarfile.CHRTYPE, int(mode, 8), device=tuple(map(int, link[0].split(":"))))
            else:
                layer.add(name, kind.encode(), int(mode, 8), *link)
        layers.append(layer)
    write(layers, where)


def make_all(first, count):
    for seed in range(int(first), int(first) + int(count)):
        make(seed, f"case-{seed}/layout")


def make(seed, where):
    rng = random.Random(seed)
    layers = []
    for number in range(rng.randint(2, 4)):
        for _ in range(1000):
            layer = Layer(rng)
            for _ in range(rng.randint(1, 9)):
                layer.member(number > 0)
            if is_sound(layer.lines):
                break
        layers.append(layer)
    write(layers, where)
    # A device 0:0 umoci makes, which is a whiteout where layers are unpacked for overlayfs.
    members = [layer.lines for layer in layers]
    if not through_lower(members) and not any(" 3 600 (0, 0)" in line for line in sum(members, [])):
        open(where + ".umoci", "w", encoding="utf-8").close()


def as_umoci(mine):
    """What umoci shows of that image: a directory that no entry mentions has the mode of what was there before,
    be it a file or what its own layer takes away."""
    mentioned, own, others, lines = set(), set(), set(), []
    with open("layout.txt", encoding="utf-8") as text:
        for line in text:
            name, kind, *_ = line.strip().split(" ")
            if not line.startswith("  "):
                mentioned, own = mentioned | own, set()
            elif name.endswith(".wh..wh..opq"):
                hidden = "t/" + name.removesuffix(".wh..wh..opq")
                mentioned = {path for path in mentioned if not path.startswith(hidden)}
            else:
                (own if kind == "5" else others).add("t/" + name.replace(".wh.", ""))
                if ".wh." in name:
                    hidden = "t/" + name.replace(".wh.", "") + "/"
                    mentioned = {path for path in mentioned if not path.startswith(hidden)}
    mentioned |= own
    mentioned -= others
    with open(mine, encoding="utf-8") as tree:
        for line in tree:
            path, kind, *_ = line.rstrip("\n").split(" ")
            lines.append(f"{path} d implied" if kind == "d" and path not in mentioned else line.rstrip("\n"))
    print("\n".join(lines))


def show(tree):
    for path in sorted(tree):
        print(path, *tree[path])


def of_tar(name):
    tree, links = {}, []
    with tarfile.open(name) as tar:
        for m in tar:
            path = m.name.rstrip("/").removeprefix("./")
            if not path.startswith("t/"):
                continue
            if m.islnk():
                links.append((path, m.linkname))
            elif m.isdir():
                tree[path] = ("d", f"{m.mode:o}")
            elif m.issym():
                tree[path] = ("l", m.linkname)
            elif m.isfifo():
                tree[path] = ("p", f"{m.mode:o}")
            elif m.ischr():
                tree[path] = ("c", f"{m.mode:o}", f"{m.devmajor}:{m.devminor}")
            else:
                tree[path] = ("f", f"{m.mode:o}", m.size)
    for path, target in links:
        tree[path] = tree.get(target, ("?", target))
    for path in list(tree): # whoever unpacks it makes those that no entry mentions
        while "/" in (path := path.rpartition("/")[0]):
            tree.setdefault(path, ("d", "755"))
    show(tree)


def of_tree(top):
    tree = {}
    for directory, directories, files in os.walk(top + "/t"):
        for name in directories + files:
            path = os.path.join(directory, name)
            st = os.lstat(path)
            mode = f"{stat.S_IMODE(st.st_mode):o}"
            kinds = {stat.S_IFDIR: ("d", mode), stat.S_IFIFO: ("p", mode), stat.S_IFREG: ("f", mode, st.st_size),
                     stat.S_IFCHR: ("c", mode, f"{os.major(st.st_rdev)}:{os.minor(st.st_rdev)}")}
            is_link = stat.S_ISLNK(st.st_mode)
            tree[os.path.relpath(path, top)] = ("l", os.readlink(path)) if is_link else kinds[stat.S_IFMT(st.st_mode)]
    show(tree)


def of_listing(name):
    tree = {}
    with open(name, encoding="utf-8") as lines:
        for line in lines:
            path, kind, mode, size, device, link = line.rstrip("\n").split("|")
            one = kind[0]
            tree[path] = {"d": ("d", mode), "s": ("l", link), "f": ("p", mode), "r": ("f", mode, size),
                          "c": ("c", mode, device)}.get(one, (kind, mode))
    show(tree)


READERS = {"tar": of_tar, "tree": of_tree, "listing": of_listing, "umoci": as_umoci}


def read(*several):
    for kind, name, out in zip(several[::3], several[1::3], several[2::3]):
        with open(out, "w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            READERS[kind](name)


if __name__ == "__main__":
    dict(READERS, make=make_all, image=image, read=read)[sys.argv[1]](*sys.argv[2:])
