#!/usr/bin/env python3
"""Compares two trees, as tars: what sbuild made, and what another tool made of the same instructions.

    trees-equal.py OURS THEIRS

Each path that differs is listed, with the reason when it is one that is known: what makes a build
reproducible, or what the other tool leaves behind. Times are not compared. Ends with 1 when a difference
has no reason.
"""
import hashlib
import re
import sys
import tarfile

# What differs, where, and why. "missing": only theirs has it; "added": only ours.
REASONS = [
    ("missing changed", r"var/log/.*|var/cache/(apt|ldconfig|debconf|man|fontconfig)/.*|var/lib/dpkg/.*-old|etc/\w+-", "logs, caches and earlier versions of package managers: removed"),
    ("missing changed", r".*/__pycache__/.*\.pyc", "compiled Python names its source by content, not by time"),
    ("changed", r"etc/g?shadow", "the day of a password's change is the epoch's"),
    ("changed added", r".*/direct_url\.json|.*dist-info/RECORD", "where a project lay when it was installed"),
]


def entries(path):
    found, links = {}, {}
    with tarfile.open(path) as tar:
        for member in tar:
            name = member.name.strip("/").removeprefix("./")
            if name in ("", "."):
                continue
            kind = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link"}.get(member.type, "file" if member.isreg() else "special")
            if member.islnk():
                links[name] = member.linkname.strip("/").removeprefix("./")
                continue
            content = member.linkname
            if kind == "file":
                content = hashlib.sha256(tar.extractfile(member).read()).hexdigest()
            xattrs = sorted((k, v) for k, v in member.pax_headers.items() if "xattr" in k)
            mode = member.mode & 0o7777 if kind != "link" else 0
            found[name] = (kind, oct(mode), f"{member.uid}:{member.gid}", content, str(xattrs))
    for name, target in links.items():
        found[name] = found[target]
    return found



def reason(kind, name):
    for kinds, pattern, why in REASONS:
        if kind in kinds.split() and re.fullmatch(pattern, name):
            return why
    return None


def main():
    ours, theirs = entries(sys.argv[1]), entries(sys.argv[2])
    known, unknown = {}, []
    for name in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(name), theirs.get(name)
        if a == b:
            continue
        kind = "added" if b is None else "missing" if a is None else "changed"
        why = reason(kind, name)
        if why:
            known.setdefault(why, []).append(name)
        else:
            unknown.append(f"{kind} {name}: {a} {b}")
    print(f"{len(ours)} paths here, {len(theirs)} there")
    for why, names in known.items():
        print(f"  {len(names)} differ, as expected: {why} ({', '.join(names[:2])}{', …' if len(names) > 2 else ''})")
    for line in unknown:
        print(f"  NOT EXPLAINED: {line}")
    return bool(unknown)


if __name__ == "__main__":
    sys.exit(main())
