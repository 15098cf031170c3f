#!/usr/bin/env python3
"""Generated copies: what each makes of an image by docs/recipe.md, by sbuild, by BuildKit and by buildah.

    copies.py make DIR COUNT SEED       bases and cases below DIR
    copies.py compare DIR KIND          trees of KIND (pure, mixed, remote, buildkit, buildah) with what is right
    copies.py plan|dockerfile|split     for the peers: see below

A case is a context, some copies, and a base. What is right is told by a model of some fifty lines (Model),
which knows nothing of layers. Where Docker's COPY is another thing on purpose, the model says so, by a word of
DIFFERENCES; such cases need not be equal, and are counted.
"""
import collections
import hashlib
import json
import os
import random
import sys
import tarfile

Node = collections.namedtuple("Node", "kind mode owner value")  # value: digest, or target of a link

# Where sbuild differs from BuildKit on purpose; docs/recipe.md, "copy", says it in words.
DIFFERENCES = {
    "directory-onto-link": "a directory copied onto a link to a directory: it goes where the link leads",
    "file-onto-link": "a file whose name in the image is a link replaces it; BuildKit follows a link that to: names",
    "kept-directory": "a directory that is there keeps owner and mode; below the source BuildKit gives it the copy's",
    "file-over-directory-link": "a file isn't put in the place of a link to a directory",
    "set-group-id": "a new directory has no set-group-ID bit, whatever the one that it is in has",
    "link-source": "a link is copied as a link; BuildKit copies what a source that is a link leads to",
}
NAMES = ["a", "b", "c", "d"]
ODD = ["with space", "grüße", "-dash", "#hash", "quote'\"", "dollar$x", "semi;colon", ".hidden", "star*", "tab\tname", "back\\slash"]


class Clash(Exception):
    pass


class Loop(Exception):
    pass


class Model:
    """A tree: paths without links, "" the root. What a source meets is what was there before it."""

    def __init__(self, nodes):
        self.nodes = dict(nodes)
        self.before = dict(nodes)
        self.written = {}  # by the source at hand
        self.notes = set()

    def at(self, path):
        return Node("d", 0o755, (0, 0), None) if path == "" else self.before.get(path)

    def write(self, path, node):
        mine = self.written.get(path)
        if mine and (mine.kind == "d") != (node.kind == "d"):
            raise Clash(path)
        if mine and mine.kind == "d":
            return
        self.written[path] = self.nodes[path] = node

    def follow(self, path):
        """Where path leads with all its links followed; what isn't there is kept as it is."""
        done, rest, links = [], path.split("/"), 0
        while rest:
            word = rest.pop(0)
            if word in ("", "."):
                continue
            if word == "..":
                done = done[:-1]
                continue
            node = self.at("/".join(done + [word]))
            if node and node.kind == "l":
                links += 1
                if links > 40:
                    raise Loop(path)
                if node.value.startswith("/"):
                    done = []
                rest = node.value.split("/") + rest
            else:
                done.append(word)
        return "/".join(done)

    def leads_to_directory(self, path):
        try:
            end = self.at(self.follow(path))
        except Loop:
            return False
        return end is not None and end.kind == "d"

    def make_parents(self, path, owner):
        words = path.split("/")[:-1]
        for i in range(len(words)):
            parent = "/".join(words[: i + 1])
            node = self.at(parent)
            if node is None:
                self.make(parent, Node("d", 0o755, owner, None))
            elif node.kind != "d":
                raise Clash(parent)

    def make(self, path, node):
        above = self.nodes.get(path.rpartition("/")[0])
        if above and above.mode & 0o2000:
            self.notes.add("set-group-id")
        self.write(path, node)

    def directory(self, path, owner):
        end = self.follow(path)
        self.make_parents(end + "/x", owner)
        return end

    def put(self, path, node):
        """Of a file or a link, at its very name."""
        there = self.at(path)
        if there and there.kind == "d":
            raise Clash(path)
        if there and there.kind == "l" and node.kind == "f" and self.leads_to_directory(path):
            self.notes.add("file-over-directory-link")
            raise Clash(path)
        self.write(path, node)

    def enter(self, path, node):
        there = self.at(path)
        if there is None:
            self.make(path, node)
            return path
        if there.kind == "l":
            self.notes.add("directory-onto-link")
            if not self.leads_to_directory(path):
                raise Clash(path)
            return self.follow(path)
        if there.kind != "d":
            raise Clash(path)
        if path and (there.mode, there.owner) != (node.mode, node.owner):
            self.notes.add("kept-directory")
        return path

    def copy(self, sources, to, owner):
        """sources: (name, tree), a tree being {relative path: Node} with "" for the source itself."""
        many = len(sources) > 1
        for name, tree in sources:
            self.before, self.written = dict(self.nodes), {}
            top = tree[""]
            if top.kind == "d":
                path = self.follow(to)
                self.make_parents(path, owner)
                there = self.at(path)
                if there is None:
                    self.make(path, top)
                elif there.kind != "d":
                    raise Clash(path)
                self.below(tree, "", path)
                continue
            if top.kind == "l":
                self.notes.add("link-source")
            if many or to.endswith("/"):
                path = self.directory(to, owner) + "/" + name
            else:
                parent, _, base = to.rpartition("/")
                path = (self.directory(parent, owner) + "/" + base).lstrip("/")
                there = self.at(path)
                if there and there.kind == "l":
                    self.notes.add("file-onto-link")
                if there and (there.kind == "d" or (there.kind == "l" and top.kind != "l" and self.leads_to_directory(path))):
                    path = self.directory(path, owner) + "/" + name
            path = path.lstrip("/")
            self.make_parents(path, owner)
            self.put(path, top)

    def below(self, tree, relative, path):
        prefix = relative + "/" if relative else ""
        for child in sorted(k for k in tree if k and k.startswith(prefix) and "/" not in k[len(prefix):]):
            target = (path + "/" + child[len(prefix):]).lstrip("/")
            if tree[child].kind == "d":
                self.below(tree, child, self.enter(target, tree[child]))
            else:
                self.put(target, tree[child])


# ---- generating ----


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def random_tree(r, size, depth, odd, top=""):
    """{relative path: (kind, value)} without the root; links may lead anywhere."""
    tree = {}
    directories = [""]
    for _ in range(size):
        parent = r.choice(directories)
        name = r.choice(ODD) if odd and r.random() < 0.15 else r.choice(NAMES)
        path = parent + "/" + name if parent else name
        if path in tree:
            continue
        # Mostly a name is of one kind everywhere, so that what is copied meets its like.
        usual = {"a": 0.1, "b": 0.2, "c": 0.6, "d": 0.9}.get(name)
        roll = usual if usual and r.random() < 0.8 else r.random()
        if roll < 0.45 and path.count("/") < depth:
            tree[path] = ("d", None)
            directories.append(path)
        elif roll < 0.75:
            tree[path] = ("f", "%s %d\n" % (path, r.randrange(1000)))
        else:
            target = "/".join(r.choice(NAMES) for _ in range(r.randint(1, 3)))
            roll = r.random()
            if roll < 0.35 and directories:
                target = r.choice(directories) or "."
                target = "/" + target if r.random() < 0.6 else os.path.relpath("/" + target, "/" + parent)
            elif roll < 0.55:
                target = "/" + target
            elif roll < 0.65:
                target = "../" + target
            tree[path] = ("l", target)
    return tree


def write_tree(tree, top):
    os.makedirs(top, exist_ok=True)
    for path in sorted(tree):
        kind, value = tree[path]
        whole = os.path.join(top, path)
        if kind == "d":
            os.mkdir(whole)
            os.chmod(whole, 0o755)
        elif kind == "f":
            with open(whole, "w") as f:
                f.write(value)
            os.chmod(whole, 0o755 if len(value) % 3 == 0 else 0o644)
        else:
            os.symlink(value, whole)


def read_tree(top, owner):
    """What is below a directory of the context, as nodes."""
    def node(path):
        status = os.lstat(path)
        if os.path.islink(path):
            return Node("l", 0o777, owner, os.readlink(path))
        if os.path.isdir(path):
            return Node("d", 0o755, owner, None)
        with open(path, "rb") as f:
            return Node("f", 0o755 if status.st_mode & 0o100 else 0o644, owner, digest(f.read()))

    tree = {"": node(top)}
    if tree[""].kind == "d":
        for directory, names, files in os.walk(top):
            for name in names + files:
                path = os.path.join(directory, name)
                tree[os.path.relpath(path, top)] = node(path)
    return tree


def make_bases(r, directory, count):
    for i in range(count):
        name = "base%d" % i
        layers, model = [], Model({})
        for layer in range(r.randint(1, 3)):
            source = "%s-%d" % (name, layer)
            write_tree(random_tree(r, r.randint(6, 22), 4, False), os.path.join(directory, source))
            copy = {"from": source, "to": "/" if layer == 0 else r.choice(["/", "/b", "/e/f"])}
            if r.random() < 0.5:
                copy["mode"] = {"directories": r.choice(["0700", "1777", "2755"])}
                copy["owner"] = r.choice(["5:6", "1000:1000"])
            before = dict(model.nodes)
            try:
                model.copy([(source, read_tree(os.path.join(directory, source), (0, 0)))], copy["to"].strip("/"), (0, 0))
            except (Clash, Loop):
                model.nodes = before
                continue
            layers.append({"name": "l%d" % layer, "copy": copy})
        if r.random() < 0.6:  # whiteouts, and a directory that hides what was in it
            gone = sorted(k for k in model.nodes if model.nodes[k].kind == "d")
            for path in r.sample(gone, min(len(gone), 2)):
                again = r.choice(["true", "mkdir -p /%s" % path, "echo file >/%s" % path])
                layers.append({"name": "r%d" % len(layers), "run": "{ rm -rf /%s && mkdir -p /%s && %s; } || true" % (path, os.path.dirname(path), again)})
        write_json(directory, name, {"name": name, "from": "shell.yaml", "layers": layers})


def write_json(directory, name, value):
    with open(os.path.join(directory, name + ".yaml"), "w") as f:
        json.dump(value, f, ensure_ascii=False)


def random_copies(r, context, tree):
    tops = sorted(k for k in tree if "/" not in k)
    below = sorted(k for k in tree if k.count("/") == 1 and k.split("/")[1] in NAMES)
    copies = []
    for _ in range(r.choice([1, 1, 2, 3])):
        sources = [r.choice(tops + below)]
        if r.random() < 0.2:
            sources = r.sample(tops, min(len(tops), r.randint(2, 3)))
        to = "/" + "/".join(r.choice(["a", "a", "b", "b", "e", "e", "c", "d"]) for _ in range(r.randint(0, 3)))
        if r.random() < 0.4 and tree.get(sources[0], ("d",))[0] == "d":  # a directory where one may be
            to = "/" + "/".join(r.choice(["a", "b"]) for _ in range(r.randint(0, 2)))
        if r.random() < 0.25:
            sources, to = ["."], r.choice(["/", to])
        if len(sources) > 1 or r.random() < 0.3:
            to = to.rstrip("/") + "/"
        owner = r.choice([None, None, "7:8"])
        copies.append({"from": sources, "to": to, "owner": owner})
    return copies


def make(directory, count, seed):
    r = random.Random(seed)
    bases = max(3, count // 25)
    make_bases(r, directory, bases)
    for i in range(count):
        name = "case%d" % i
        context = os.path.join(directory, name)
        tree = {}
        while not tree:
            tree = random_tree(r, r.randint(3, 14), 3, True)
        # At the top, where Dockerfiles and patterns would read more into them, names are plain.
        tree = {k: v for k, v in tree.items() if k.split("/")[0] in NAMES} or {"a": ("f", "a\n")}
        write_tree(tree, context)
        case = {"name": name, "base": "base%d" % r.randrange(bases), "copies": random_copies(r, context, tree), "apart": r.random() < 0.5}
        with open(os.path.join(directory, name + ".json"), "w") as f:
            json.dump(case, f)
        write_recipes(directory, case)


def write_recipes(directory, case):
    copies = []
    for c in case["copies"]:
        copy = {"from": c["from"], "to": c["to"]}
        if c["owner"]:
            copy["owner"] = c["owner"]
        copies.append(copy)
    registry = os.environ["COPIES_REGISTRY"]
    for kind, base in (("pure", case["base"] + ".yaml"), ("mixed", case["base"] + ".yaml"), ("remote", {"image": "%s/%s:latest" % (registry, case["base"])})):
        steps = [[{"copy": c}] for c in copies] if case["apart"] else [[{"copy": c} for c in copies]]
        layers = []
        for i, some in enumerate(steps):
            if kind == "mixed":
                some = [{"run": "true"}] + some if len(copies) % 2 else some + [{"run": "true"}]
            layers.append({"name": "l%d" % i, "steps": some})
        name = "%s-%s" % (kind, case["name"])
        write_json(directory, name, {"name": name, "from": base, "context": case["name"], "layers": layers})


# ---- comparing ----


def tar_nodes(name, prefix=""):
    nodes = {}
    with tarfile.open(name) as tar:
        for m in tar:
            path = m.name.strip("/")
            path = path[2:] if path.startswith("./") else path
            if path in ("", "."):
                continue
            owner = (m.uid, m.gid)
            if m.isdir():
                nodes[path] = Node("d", m.mode & 0o7777, owner, None)
            elif m.issym():
                nodes[path] = Node("l", 0o777, owner, m.linkname)
            elif m.islnk():
                nodes[path] = nodes[m.linkname.strip("/")]
            else:
                nodes[path] = Node("f", m.mode & 0o7777, owner, digest(tar.extractfile(m).read()))
    return nodes


def cases(directory):
    names = [n for n in os.listdir(directory) if n.startswith("case") and n.endswith(".json")]
    for name in sorted(names, key=lambda n: int(n[4:-5])):
        with open(os.path.join(directory, name)) as f:
            yield json.load(f)


def right(directory, case, base):
    """The model's tree and notes; None for the tree when it is a clash."""
    model = Model(base)
    try:
        for c in case["copies"]:
            owner = tuple(map(int, c["owner"].split(":"))) if c["owner"] else (0, 0)
            sources = []
            for s in c["from"]:
                path = os.path.normpath(os.path.join(directory, case["name"], s))
                sources.append((os.path.basename(path), read_tree(path, owner)))
            model.copy(sources, c["to"].lstrip("/"), owner)
    except (Clash, Loop):
        return None, model.notes
    return model.nodes, model.notes


IGNORED = {"proc", "sys", "dev", "etc", "bin", ".dockerenv"}  # what the shell's base and builders bring


def plain(nodes):
    return {k: v for k, v in nodes.items() if k.split("/")[0] not in IGNORED}


def show(right_nodes, nodes):
    lines = []
    for k in sorted(set(right_nodes) | set(nodes)):
        if right_nodes.get(k) != nodes.get(k):
            lines.append("      %r: right %s, is %s" % (k, tuple(right_nodes.get(k) or ()), tuple(nodes.get(k) or ())))
    return "\n".join(lines[:12])


def compare(directory, kind):
    bases, counts, bad = {}, collections.Counter(), 0
    for case in cases(directory):
        result = os.path.join(directory, "trees", "%s-%s.tar" % (kind, case["name"]))
        failed = result[:-4] + ".failed"
        if not os.path.exists(result) and not os.path.exists(failed):
            continue
        if case["base"] not in bases:
            bases[case["base"]] = tar_nodes(os.path.join(directory, "trees", case["base"] + ".tar"))
        nodes, notes = right(directory, case, bases[case["base"]])
        counts["compared"] += 1
        is_nodes = None if os.path.exists(failed) else plain(tar_nodes(result))
        nodes = None if nodes is None else plain(nodes)
        if is_nodes == nodes:
            counts["equal, a clash" if nodes is None else "equal"] += 1
            continue
        if kind == "buildkit" and notes:
            counts["different on purpose: " + "+".join(sorted(notes))] += 1
            continue
        if kind == "buildah" and (notes or nodes is None):
            counts["different on purpose: " + ("+".join(sorted(notes)) or "a clash, which buildah replaces")] += 1
            continue
        bad += 1
        if bad <= 10:
            print("  %s %s on %s: %s" % (kind, case["name"], case["base"], json.dumps(case["copies"])))
            if nodes is None:
                print("      right: a clash")
            elif is_nodes is None:
                print("      is an error: %s" % open(failed, errors="replace").read().strip()[-600:])
            else:
                print(show(nodes, is_nodes))
    print("%s: %s, %d unexplained" % (kind, ", ".join("%d %s" % (n, w) for w, n in sorted(counts.items())), bad))
    return bad == 0 and counts["compared"] > 0


def dockerfile(directory, names):
    """Stages for the cases, and one with all their trees."""
    lines, end = [], ["FROM scratch"]
    for case in cases(directory):
        if case["name"] not in names:
            continue
        lines.append("FROM %s:latest AS %s" % (case["base"], case["name"]))
        for c in case["copies"]:
            sources = ["%s/%s" % (case["name"], "" if s == "." else s) for s in c["from"]]
            lines.append("COPY %s%s" % ("--chown=%s " % c["owner"] if c["owner"] else "", json.dumps(sources + [c["to"]])))
        end.append("COPY --from=%s / /%s/" % (case["name"], case["name"]))
    print("\n".join(lines + end))


def plan(directory):
    """The names of all cases, and whether BuildKit can build it with others: one that fails ends all."""
    bases = {}
    for case in cases(directory):
        if case["base"] not in bases:
            bases[case["base"]] = tar_nodes(os.path.join(directory, "trees", case["base"] + ".tar"))
        nodes, notes = right(directory, case, bases[case["base"]])
        alone = nodes is None or notes - {"kept-directory", "set-group-id"}
        print(case["name"], "alone" if alone else "together")


def buildah(directory, most):
    """Writes what buildah is to do for so many cases."""
    with open("buildah.cases", "w") as todo:
        for case in list(cases(directory))[:most]:
            with open(case["base"] + ".id") as f:
                print(case["name"], f.read().split()[-1], file=todo)
            with open(os.path.join(directory, case["name"] + ".buildah"), "w") as f:
                for c in case["copies"]:
                    sources = ["%s/%s/%s" % (directory, case["name"], "" if s == "." else s) for s in c["from"]]
                    chown = "--chown %s " % c["owner"] if c["owner"] else ""
                    f.write('buildah --root "$PWD/containers" --runroot "$PWD/containers-run" --storage-driver overlay '
                            "copy -q %s\"$1\" %s %s\n" % (chown, " ".join(sources), c["to"]))


def split(directory, kind, name):
    """A tar with a directory for each case, as a tar each."""
    out = {}
    with tarfile.open(name) as tar:
        for m in tar:
            case, _, path = m.name.strip("/").partition("/")
            if not path or path == "bin/busybox":
                continue
            if case not in out:
                out[case] = tarfile.open(os.path.join(directory, "trees", "%s-%s.tar" % (kind, case)), "w")
            m.name, m.pax_headers = path, {}
            if m.islnk():
                m.linkname = m.linkname.strip("/").partition("/")[2]
            out[case].addfile(m, tar.extractfile(m) if m.isreg() else None)
    for tar in out.values():
        tar.close()


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
elif sys.argv[1] == "compare":
    sys.exit(0 if compare(sys.argv[2], sys.argv[3]) else 1)
elif sys.argv[1] == "plan":
    plan(sys.argv[2])
elif sys.argv[1] == "dockerfile":
    dockerfile(sys.argv[2], set(sys.argv[3:]))
elif sys.argv[1] == "buildah":
    buildah(sys.argv[2], int(sys.argv[3]))
elif sys.argv[1] == "split":
    split(*sys.argv[2:])
