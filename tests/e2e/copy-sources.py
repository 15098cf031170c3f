#!/usr/bin/env python3
"""Generated contexts, ignore files and sources of copies: for comparing what sbuild takes with what
BuildKit does.

    copy-sources.py make DIR COUNT SEED     a directory DIR/N for each case, DIR/N.yaml, DIR/cases.json
    copy-sources.py dockerfile DIR N…       prints a Dockerfile that copies these cases
    copy-sources.py compare DIR TREES N…    what `sbuild export` says of each case (DIR/N.tar; a case without
                                            one failed) beside TREES/N; prints what differs

A case is one source of one copy. BuildKit's wildcards know no "**", which sbuild's have in common with ignore
files, and a source that isn't there would end the whole build: of such cases BuildKit copies all that the
ignore file leaves, and what matches is picked here.
"""
import json
import os
import random
import re
import sys
import tarfile

DIRECTORIES = ["src", "sub", "deep", "a", "b", "ab", "docs.d", ".hid", "s p"]
FILES = ["x.c", "y.c", "x.py", "keep.txt", "k.txt", "README.md", "z", "é.txt", ".dot", "a.b.c", "sp ace.txt", "UP.C"]


def make_tree(rng, top, depth=0):
    paths = []
    for name in rng.sample(FILES, rng.randint(0 if depth else 1, 4)):
        paths.append(top + name)
    if depth < 3:
        for name in rng.sample(DIRECTORIES, rng.randint(0 if depth else 1, 3 - (depth > 1))):
            paths.append(top + name + "/")
            paths += make_tree(rng, top + name + "/", depth + 1)
    return paths


def blur(rng, name):
    """A pattern that matches the name, or nearly."""
    way = rng.randint(0, 9)
    at = rng.randrange(len(name))
    if way == 0:
        return "*"
    if way == 1:
        return name[:at] + "*"
    if way == 2:
        return "*" + name[at:]
    if way == 3:
        return name[:at] + "?" + name[at + 1 :]
    if way == 4 and name[at].isalnum() and name[at].isascii():
        return name[:at] + rng.choice(["[%s]", "[a-z%s]", "[^%s]", "[^y%s]"]) % name[at] + name[at + 1 :]
    if way == 5 and not name[at].isalnum():
        return name[:at] + "\\" + name[at:]
    return name


def pattern_of(rng, path, doubles):
    parts = [blur(rng, part) if rng.random() < 0.5 else part for part in path.strip("/").split("/")]
    if doubles and rng.random() < 0.45:
        at = rng.randrange(len(parts))
        way = rng.randint(0, 4)
        if way == 0:
            parts = ["**"] + parts[at:]
        elif way == 1:
            parts = parts[:at] + ["**"] + parts[at:]
        elif way == 2:
            parts = parts[:at] + ["**"]
        elif way == 3:
            parts[at] = "**" + parts[at]
        else:
            parts = ["**", "*" + os.path.splitext(parts[-1])[1]]
    elif rng.random() < 0.3:
        parts = parts[: rng.randint(1, len(parts))]
    return "/".join(parts)


def make_ignore(rng, paths):
    lines = []
    if rng.random() < 0.6:
        lines.append(rng.choice(["*", "**", "*/*", "**/*.c", "src", "*.*", "*/"]))
    for _ in range(rng.randint(0, 5)):
        # Docker's way of passing patterns on takes ASCII only, of a context that isn't the first.
        pattern = pattern_of(rng, rng.choice(paths), True).replace("é", "?")
        odd = rng.randint(0, 19)
        if odd == 0:
            pattern = "/" + pattern
        elif odd == 1:
            pattern += "/"
        elif odd == 2:
            pattern = "./" + pattern
        elif odd == 3:
            pattern = "x/../" + pattern
        elif odd == 4:
            pattern = "  " + pattern + " \t"
        elif odd == 5:
            lines.append(rng.choice(["# x.c", "", "   ", ".", "..", "../src", "/", " # no comment"]))
        if rng.random() < 0.45:
            pattern = rng.choice(["!", "!", "!", "! ", "!/"]) + pattern
        lines.append(pattern)
    end = rng.choice(["\n", "\n", "\n", "\r\n"])
    text = end.join(lines) + rng.choice(["", end])
    return rng.choice(["", "", "", "\ufeff"]) + text


def make_case(rng, directory, number):
    paths = make_tree(rng, "")
    top = os.path.join(directory, str(number))
    for path in paths:
        where = os.path.join(top, path)
        if path.endswith("/"):
            os.makedirs(where, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(where), exist_ok=True)
            with open(where, "w") as file:
                file.write(path + "\n")
    ignore = make_ignore(rng, paths) if rng.random() < 0.85 else None
    if ignore is not None:
        with open(os.path.join(top, ".dockerignore"), "w", newline="") as file:
            file.write(ignore)
    way = rng.random()
    path = rng.choice(paths)
    if way < 0.1:
        source = "."
    elif way < 0.25:
        source = path.rstrip("/")
    else:
        source = pattern_of(rng, path, rng.random() < 0.3)
    if rng.random() < 0.1:
        source = rng.choice(["./%s", "%s/", "%s/."]) % source
    with open(os.path.join(directory, "%d.yaml" % number), "w") as file:
        json.dump(
            {
                "name": "case%d" % number,
                "from": "scratch",
                "context": str(number),
                "layers": [{"name": "copy", "copy": {"from": source, "to": "/o/"}}],
            },
            file,
        )
    return {"source": source, "ignore": ignore}


def make(directory, count, seed):
    rng = random.Random(seed)
    cases = [make_case(rng, directory, number) for number in range(count)]
    with open(os.path.join(directory, "cases.json"), "w") as file:
        json.dump(cases, file)


def load(directory):
    with open(os.path.join(directory, "cases.json")) as file:
        return json.load(file)


def is_picked(directory, number, source):
    return "**" in source or not os.path.exists(os.path.join(directory, "%d.tar" % number))


def dockerfile(directory, numbers):
    cases = load(directory)
    for number in numbers:
        source = cases[number]["source"]
        words = json.dumps(["." if is_picked(directory, number, source) else source, "/o/"], ensure_ascii=False)
        print("FROM scratch AS s%d\nCOPY --from=anchor anchor /" % number)
        print("COPY --from=c%d %s" % (number, words))
    print("FROM scratch")
    for number in numbers:
        print("COPY --from=s%d / /%d/" % (number, number))


# ---- comparing ----


def expression_of(pattern):
    out, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**", at):
            at += 2
            at += pattern.startswith("/", at)
            out += "(.*/)?" if at < len(pattern) else ".*"
        elif pattern[at] == "*":
            out += "[^/]*"
            at += 1
        elif pattern[at] == "?":
            out += "[^/]"
            at += 1
        elif pattern[at] == "[":
            end = pattern.index("]", at)
            out += pattern[at : end + 1]
            at = end + 1
        elif pattern[at] == "\\":
            out += re.escape(pattern[at + 1])
            at += 2
        else:
            out += re.escape(pattern[at])
            at += 1
    return re.compile(out, re.S)


def pick(tree, source):
    """What a source with "**" takes of a tree that was copied whole; what a match holds is part of it."""
    expression = expression_of(os.path.normpath(source))
    out, found = {"o": None}, False
    for path in sorted(tree, key=lambda p: p.split("/")):
        parts = path.split("/")[1:]
        for count in range(1, len(parts) + 1):
            if not expression.fullmatch("/".join(parts[:count])):
                continue
            found = True
            is_file = count == len(parts) and tree[path] is not None
            rest = parts[count - 1 :] if is_file else parts[count:]
            for i in range(1, len(rest)):
                out["/".join(["o"] + rest[:i])] = None
            out["/".join(["o"] + rest)] = tree[path]
            break
    return out if found else {}


def tree_of_directory(top):
    tree = {}
    for where, directories, files in os.walk(top):
        for name in directories:
            tree[os.path.relpath(os.path.join(where, name), top)] = None
        for name in files:
            path = os.path.join(where, name)
            with open(path, newline="") as file:
                tree[os.path.relpath(path, top)] = file.read()
    tree.pop("anchor", None)
    return tree


def tree_of_tar(path):
    if not os.path.exists(path):
        return {}
    tree = {}
    with tarfile.open(path) as tar:
        for member in tar:
            name = os.path.normpath(member.name)
            if name != ".":
                tree[name] = tar.extractfile(member).read().decode() if member.isfile() else None
    return tree


def compare(directory, trees, numbers):
    cases, bad = load(directory), 0
    for number in numbers:
        source = cases[number]["source"]
        theirs = tree_of_directory(os.path.join(trees, str(number)))
        if is_picked(directory, number, source):
            theirs = pick(theirs, source)
        ours = tree_of_tar(os.path.join(directory, "%d.tar" % number))
        # When a directory is left out, a file in it taken back, and the directory left out once more, BuildKit
        # lists the file and then doesn't read it: it is there, and empty. No file of a case is empty.
        for path in ours:
            if ours[path] and theirs.get(path) == "":
                theirs[path] = ours[path]
        if ours == theirs:
            continue
        bad += 1
        print("case %d: from %r, ignore file %r" % (number, source, cases[number]["ignore"]))
        for path in sorted(set(ours) | set(theirs)):
            if ours.get(path, 0) != theirs.get(path, 0):
                print("    %s: sbuild %r, BuildKit %r" % (path, ours.get(path, "-"), theirs.get(path, "-")))
    return bad


def main():
    command, directory = sys.argv[1:3]
    if command == "make":
        make(directory, int(sys.argv[3]), int(sys.argv[4]))
    elif command == "dockerfile":
        dockerfile(directory, [int(n) for n in sys.argv[3:]])
    elif compare(directory, sys.argv[3], [int(n) for n in sys.argv[4:]]):
        sys.exit(1)


main()
