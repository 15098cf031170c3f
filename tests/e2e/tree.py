#!/usr/bin/env python3
"""Prints a tree of files, one line each with all that an image keeps: for comparing with diff.

    tree.py DIR [IGNORED-PATH…]      IGNORED-PATHs, below DIR, and what is below them are left out

A time after SOURCE_DATE_EPOCH counts as that, as it is what a reproducible build makes of it. The
root's own time is left out: not every tool writes one.
"""
import hashlib
import os
import stat
import sys

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "1577836800"))
TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
}


def short(text):
    """Long names and values as their beginning, length and digest."""
    words = [
        word if len(word) < 80 else b"%s...%d-%s" % (word[:8], len(word), digest(word))
        for word in text.split(b"/")
    ]
    return repr(b"/".join(words))[1:]


def digest(text):
    return hashlib.sha256(text).hexdigest()[:16].encode()


def content(name, status):
    if stat.S_ISLNK(status.st_mode):
        return "-> %s" % short(os.readlink(name))
    if stat.S_ISREG(status.st_mode):
        sha = hashlib.sha256()
        with open(name, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                sha.update(block)
        return "%d bytes %s" % (status.st_size, sha.hexdigest()[:16])
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return "%d:%d" % (os.major(status.st_rdev), os.minor(status.st_rdev))
    return ""


def show(path, name, status, first_paths):
    words = [
        short(path),
        TYPES[stat.S_IFMT(status.st_mode)],
        "%04o" % stat.S_IMODE(status.st_mode),
        "%d:%d" % (status.st_uid, status.st_gid),
        "time %d" % min(int(status.st_mtime), EPOCH) if path != b"." else "",
        content(name, status),
    ]
    if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
        words.append("linked to %s" % short(first_paths.setdefault(status.st_ino, path)))
    for attribute in sorted(os.listxattr(name, follow_symlinks=False)):
        value = os.getxattr(name, attribute, follow_symlinks=False)
        words.append("%s=%s" % (attribute, short(value)))
    print(" ".join(word for word in words if word))


def walk(path, name, ignored, first_paths):
    """Enters each directory, as paths may be longer than the kernel takes at once."""
    status = os.lstat(name)
    show(path, name, status, first_paths)
    if not stat.S_ISDIR(status.st_mode):
        return
    above = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.chdir(name)
    for entry in sorted(os.listdir(b".")):
        below = entry if path == b"." else path + b"/" + entry
        if below not in ignored:
            walk(below, entry, ignored, first_paths)
    os.fchdir(above)
    os.close(above)


def main():
    os.chdir(sys.argv[1])
    ignored = {path.strip("/").encode() for path in sys.argv[2:]}
    walk(b".", b".", ignored, {})


main()
