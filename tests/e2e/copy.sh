#!/bin/sh
# Where copies, downloads and archives land, in a layer of their own, beside steps, and on bases in a
# registry; what they refuse to replace, and when that is said; and what their keys depend on.
# tests/e2e/copies.sh has the many generated ones.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need python3 runc jq
start_registry main
busybox_root rootfs
mkdir -p rootfs/usr/lib rootfs/usr/share/deep/er rootfs/run rootfs/var rootfs/opt rootfs/home user
mv rootfs/bin rootfs/usr/bin
ln -s usr/bin rootfs/bin
ln -s usr/lib rootfs/lib
ln -s /run rootfs/var/run
ln -s /nowhere rootfs/dangling
ln -s loop rootfs/loop
ln -s usr/bin/busybox rootfs/tofile
echo keep >rootfs/usr/lib/keep
cat >base.yaml <<'END'
name: base
from: scratch
layers:
  - {name: root, copy: {from: rootfs, to: /}}
  - {name: odd, copy: {from: user, to: /home/user, mode: {directories: "0700"}, owner: "1000:1000"}}
END
echo one >one
echo mine >user/file
recipe() { # NAME FROM; the layers from standard input
	{ printf 'name: %s\nfrom: %s\nlayers:\n' "$1" "$2" && cat; } >"$1.yaml"
}
tree() { # NAME: its tree in NAME.d
	rm -rf "$1.d" && mkdir "$1.d" && "$SBUILD" export "$1:latest" --format rootfs -o - | tar -C "$1.d" -xf -
}
layers() { # NAME: how many layers the last build of it made
	jq '[.layers[] | select(.cached | not)] | length' meta
}
check "the base is built" "$SBUILD" base.yaml
check "and pushed" "$SBUILD" push base "$REGISTRY/base:v1"

# ---- onto a base in a registry, of which nothing is fetched: as onto one that is here ----

mkdir -p over/bin over/usr/share/deep/er over/home/user clash1/usr/lib/keep clash2/usr/share/deep
echo tool >over/bin/tool
echo f >over/usr/share/deep/er/f
echo u >over/home/user/u
echo x >clash1/usr/lib/keep/x
echo x >clash2/usr/share/deep/er
here=base.yaml there="{image: \"$REGISTRY/base:v1\"}"
registry_log main | wc -l >before
for where in here there; do
	eval "from=\$$where"
	recipe $where "$from" <<-END
		  - {name: over, copy: {from: over, to: /}}
		  - {name: into, copy: {from: one, to: /usr/share/deep/er}}
		  - {name: link, copy: {from: one, to: /tofile}}
		  - {name: none, copy: {from: one, to: /dangling/sub/}}
		  - {name: new, copy: {from: one, to: /home/user/new/one, owner: "7:8"}}
	END
	[ $where = here ] || export SBUILD_STORE=$T/other
	check "$where: it is built" "$SBUILD" $where.yaml
	for clash in clash1 clash2; do
		recipe bad "$from" <<-END
			  - {name: clash, copy: {from: $clash, to: /}}
		END
		check_fails "$where: $clash" 1 "$SBUILD" bad.yaml
		check_said 'bad.yaml:4:[0-9]+: clash.*, but /usr/(lib/keep|share/deep/er) is a (file|directory) in the layers below'
	done
	recipe bad "$from" <<-END
		  - {name: clash, copy: {from: one, to: /loop/x}}
	END
	check_fails "$where: a link that leads round and round" 1 "$SBUILD" bad.yaml
	check_said 'bad.yaml:4:[0-9]+: .*/loop'
done
check_equal "no layer of the base was fetched" 0 "$(registry_log main | sed "1,$(cat before)d" | grep -c 'GET /v2/base/blobs/.* [0-9][0-9][0-9][0-9][0-9]' || :)"
export SBUILD_STORE="$T/store"
tree here
there_tree() { SBUILD_STORE=$T/other "$SBUILD" ls -R there:latest; }
check_equal "one tree" "$("$SBUILD" ls -R here:latest)" "$(there_tree)"
check_equal "a deep directory is entered" one "$(cat here.d/usr/share/deep/er/one)"
check "a link to a file is replaced" test ! -L here.d/tofile -a -s here.d/usr/bin/busybox
check_equal "a link to nothing is followed on the way" one "$(cat here.d/nowhere/sub/one)"
check_equal "directories that are there keep their mode, new ones have the owner" "700 1000 755 7" \
	"$(stat -c '%a %u' here.d/home/user here.d/home/user/new | tr '\n' ' ' | sed 's/ $//')"

# ---- an image of other tools: looked into as soon as something lands where links are usual ----

"$SBUILD" export base -o base.tar 2>/dev/null
mkdir layout && tar -C layout -xf base.tar
python3 - <<'END'
import hashlib, json
def read(digest):
    return json.load(open("layout/blobs/sha256/" + digest[7:]))
def put(value):
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    open("layout/blobs/sha256/" + digest, "wb").write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}
index = json.load(open("layout/index.json"))
manifest = read(index["manifests"][0]["digest"])
config = read(manifest["config"]["digest"])
del config["dev.sbuild.paths"]
manifest["config"].update(put(config))
index["manifests"][0].update(put(manifest))
json.dump(index, open("layout/index.json", "w"))
END
check "an image that says nothing of its paths is pushed" "$SBUILD" push oci:layout "$REGISTRY/foreign:v1"
recipe foreign "{image: \"$REGISTRY/foreign:v1\"}" <<'END'
  - {name: over, copy: {from: over, to: /}}
END
check "a root file system is copied over it" env SBUILD_STORE="$T/foreign" "$SBUILD" foreign.yaml
check_equal "its links are links still" "lrwxrwxrwx bin" \
	"$(SBUILD_STORE=$T/foreign "$SBUILD" ls foreign:latest / | awk '$(NF-2) == "bin" { print $1, $(NF-2) }')"

# ---- beside steps: what they made decides ----

recipe beside base.yaml <<'END'
  - name: made
    steps:
      - run: ln -s /made/by/run /made-link; mkdir -p /made/by/run/dir; rm -rf /usr/share/deep/er; echo f >/usr/share/deep/er
      - copy: {from: over/bin, to: /made-link/}
      - copy: {from: one, to: /made-link/dir}
      - copy: {from: one, to: /usr/share/deep/er}
END
check "copies see what a step did" "$SBUILD" beside.yaml
tree beside
check_equal "links that it made are followed" tool "$(cat beside.d/made/by/run/tool)"
check_equal "directories entered" one "$(cat beside.d/made/by/run/dir/one)"
check_equal "and what became a file is replaced" one "$(cat beside.d/usr/share/deep/er)"
recipe beside base.yaml <<'END'
  - name: made
    steps:
      - run: mkdir /there
      - copy: {from: clash2/usr/share/deep/er, to: /there-not}
      - copy: {from: deep, to: /}
END
mkdir deep && echo file >deep/there
check_fails "what a step made is not replaced by another kind" 1 "$SBUILD" beside.yaml
check_said 'beside.yaml:8:[0-9]+: deep/there is a file, but /there is a directory in the image'
recipe beside base.yaml <<'END'
  - name: made
    steps:
      - copy: {from: clash2, to: /}
      - run: sleep 1; touch /ran; exit 7
END
check_fails "what the layers below decide is said before the step" 1 "$SBUILD" beside.yaml
check_said 'beside.yaml:6:[0-9]+: clash2/usr/share/deep/er is a file'

# ---- several copies of one layer ----

mkdir -p links/to && ln -s to links/link
recipe several scratch <<'END'
  - name: all
    steps:
      - copy: {from: links, to: /l}
      - copy: {from: one, to: /l/link/}
      - copy: {from: over/bin, to: /l/link}
      - copy: {from: links/link, to: /l/link}
END
check "later copies go through what earlier ones made" "$SBUILD" several.yaml
tree several
check_equal "to where it leads" "one tool" "$(cat several.d/l/to/one several.d/l/to/tool | tr '\n' ' ' | sed 's/ $//')"
check_equal "and a link is a link" to "$(readlink several.d/l/link)"
recipe several scratch <<'END'
  - name: all
    steps:
      - copy: {from: one, to: /x}
      - copy: {from: over, to: /x}
END
check_fails "one may not replace another by another kind" 1 "$SBUILD" several.yaml
check_said 'several.yaml:7:[0-9]+: .*/x is a file that line 6 copies'

# ---- keys ----

mkdir -p moving/a moving/b && ln -s a moving/current
printf 'name: moving\nfrom: scratch\nlayers: [{name: root, copy: {from: moving, to: /}}, {name: shell, copy: {from: rootfs/usr/bin, to: /bin}}]\n' >moving.yaml
recipe pure moving.yaml <<'END'
  - {name: app, copy: {from: one, to: /current/one}}
END
recipe mixed moving.yaml <<'END'
  - {name: app, steps: [{run: "true"}, {copy: {from: one, to: /current/one}}]}
END
build() { "$SBUILD" "$1.yaml" --metadata-file meta; }
check "through a link" build pure
check "and beside a step" build mixed
check "nothing changed" build pure
check_equal "nothing is built" 0 "$(layers)"
ln -sfn b moving/current
for name in pure mixed; do
	check "$name: the link leads elsewhere" build $name
	tree $name
	check_equal "$name: so does the copy" "one b/one" "$(cat $name.d/b/one) $(cd $name.d && ls [ab]/one)"
done
echo more >moving/a/more
check "the base changes where nothing is copied" build pure
check_equal "a copy layer stays" 1 "$(layers)"
sed -i 's|/current/one|/a/one|' mixed.yaml
check "another destination is another layer" build mixed
tree mixed
check "there" test -f mixed.d/a/one

# ---- archives ----

mkdir www
python3 - <<'END'
import io, tarfile
def make(name, *members):
    with tarfile.open("www/" + name, "w") as tar:
        for path, kind, *value in members:
            info = tarfile.TarInfo(path)
            info.mode = 0o755
            if kind == "file":
                info.size = len(path)
                tar.addfile(info, io.BytesIO(path.encode()))
                continue
            info.type = {"dir": tarfile.DIRTYPE, "hard": tarfile.LNKTYPE, "link": tarfile.SYMTYPE}[kind]
            info.linkname = value[0] if value else ""
            tar.addfile(info)
make("over.tar", ("./", "dir"), ("./bin/", "dir"), ("./bin/tool", "file"), ("./lib", "dir"), ("./var/run/pid", "file"), ("./tofile", "file"),
     ("./home/", "dir"), ("./home/user/", "dir"), ("./home/user/new/", "dir"), ("./implied/x", "file"), ("own/", "dir"), ("own/link", "link", "dir"),
     ("own/dir/", "dir"), ("own/link/through", "file"), ("own/twice", "file"), ("own/twice", "file"))
make("var.tar", ("run/", "dir"), ("run/pid2", "file"))
make("fileoverdir.tar", ("usr", "file"))
make("linkoverdir.tar", ("usr", "link", "bin"))
make("hardoverdir.tar", ("x", "file"), ("usr", "hard", "x"))
make("fileoverlink.tar", ("bin", "file"))
make("diroverfile.tar", ("usr/lib/keep/", "dir"))
make("dirovernothing.tar", ("dangling/", "dir"))
make("belowfile.tar", ("usr/lib/keep/x", "file"))
make("whiteout.tar", ("usr/.wh.bin", "file"))
make("whiteoutdir.tar", (".wh.x/y", "file"))
make("leaves.tar", ("etc", "link", "/etc"), ("etc/passwd", "file"))
make("leaves2.tar", ("d/", "dir"), ("d/up", "link", "../.."), ("d/up/etc/passwd", "file"))
make("leaves3.tar", ("d/", "dir"), ("d/up", "link", "../.."), ("stolen", "hard", "d/up/etc/passwd"))
END
(cd www && exec python3 -u -m http.server --bind 127.0.0.1 0) >www.out 2>&1 &
server=$!
cleanup() { kill $server; }
wait_for_line 'port' www.out
port=$(sed -nE 's/.* port ([0-9]+).*/\1/p' www.out)
archive() { # NAME TO
	recipe archive base.yaml <<-END
		  - {name: unpacked, download: {url: "http://127.0.0.1:$port/$1.tar", sha256: $(sha256sum <"www/$1.tar" | cut -c1-64), to: $2, extract: true, owner: "7:8"}}
	END
}
archive over /
check "an archive over the base" "$SBUILD" archive.yaml
tree archive
check_equal "its links are links" "usr/bin usr/lib /run" "$(readlink archive.d/bin archive.d/lib archive.d/var/run | tr '\n' ' ' | sed 's/ $//')"
check "what goes through them is where they lead" test -f archive.d/usr/bin/tool -a -f archive.d/run/pid -a -s archive.d/usr/bin/busybox
check "a link to a file is replaced" test ! -L archive.d/tofile
check "the archive's own links are followed" test -f archive.d/own/dir/through -a -L archive.d/own/link
check_equal "directories that were there are as they were" "700 1000 755 0" \
	"$(stat -c '%a %u' archive.d/home/user archive.d/usr | tr '\n' ' ' | sed 's/ $//')"
check_equal "new ones, named or not, are the owner's" "7 7" \
	"$(stat -c %u archive.d/home/user/new archive.d/implied | tr '\n' ' ' | sed 's/ $//')"
archive var /var
check "a link of the base may lead out of what is unpacked into" "$SBUILD" archive.yaml
tree archive
check "as for a copy" test -f archive.d/run/pid2 -a -L archive.d/var/run
archive var /dangling
check "into a link to nothing" "$SBUILD" archive.yaml
tree archive
check "where it leads" test -f archive.d/nowhere/run/pid2
for clash in fileoverdir linkoverdir hardoverdir fileoverlink diroverfile dirovernothing; do
	archive $clash /
	check_fails "$clash" 1 "$SBUILD" archive.yaml
	check_said 'archive.yaml:4:.* is (a file|a directory|a symbolic link) in the archive, but a .* in the image'
done
archive belowfile /
check_fails "a file below a file" '[16]' "$SBUILD" archive.yaml
check_said 'usr/lib/keep is not a directory'
for name in whiteout whiteoutdir; do
	archive $name /
	check_fails "$name" 1 "$SBUILD" archive.yaml
	check_said 'a layer can.t hold a name that begins with "\.wh\."'
done
for name in leaves leaves2 leaves3; do
	archive $name /opt
	check_fails "$name" 6 "$SBUILD" archive.yaml
	check_said 'leads out of the directory'
done
recipe step base.yaml <<'END'
  - {name: made, run: "echo >/usr/.wh.bin"}
END
check_fails "a step that makes such a name" 1 "$SBUILD" step.yaml
check_said 'a layer can.t hold a name that begins with "\.wh\."'
