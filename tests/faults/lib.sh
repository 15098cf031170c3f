# Sourced by each tests/faults/*.sh: what real use met, each with its smallest input. It is all of
# tests/e2e/lib.sh (check, check_equal, check_fails, settings, $T, $SBUILD), and
#
#   bb              makes the image bb of the store: static busybox, its applets symlinks in /bin;
#                   bb.yaml is its recipe, for `from:`
#   um              the same with /bin -> usr/bin, /lib -> usr/lib, /var/run -> /run; um.yaml
#   build NAME [OPTION…]    sbuild build NAME.yaml, its output in $T/NAME.out; quiet when it succeeds
#   tree IMAGE DIR  what `sbuild export` says the image holds, unpacked in DIR
. tests/e2e/lib.sh
NAME=faults/$NAME

bb() {
	busybox_root rootfs-bb
	printf 'name: bb\nfrom: scratch\nlayers: [{name: busybox, copy: {from: rootfs-bb, to: /}}]\n' >bb.yaml
	build bb
}

um() {
	busybox_root rootfs-um
	mkdir -p rootfs-um/usr/lib rootfs-um/run rootfs-um/var
	mv rootfs-um/bin rootfs-um/usr/bin
	ln -s usr/bin rootfs-um/bin
	ln -s usr/lib rootfs-um/lib
	ln -s /run rootfs-um/var/run
	echo liba >rootfs-um/usr/lib/liba.so
	printf 'name: um\nfrom: scratch\nlayers: [{name: busybox, copy: {from: rootfs-um, to: /}}]\n' >um.yaml
	build um
}

build() { # NAME [OPTION…]
	build_name=$1
	shift
	"$SBUILD" build "$build_name.yaml" "$@" >"$T/$build_name.out" 2>&1 || {
		build_status=$?
		tail -n 30 "$T/$build_name.out"
		return $build_status
	}
}

tree() { # IMAGE DIR
	mkdir -p "$2"
	"$SBUILD" export "$1" --format rootfs -o - | tar -C "$2" -xf -
}

# Of the registry in $REGISTRY a proxy that is odd in the ways of tests/e2e/odd-proxy: sets $PROXY.
odd() {
	mkdir -p odd/files
	"$TOP/tests/e2e/odd-proxy" "$REGISTRY" "$T/odd" >proxy.out 2>proxy.err &
	registries="$registries $!"
	wait_for_line 'listening on' proxy.out
	PROXY=127.0.0.1:$(sed 's/listening on //' proxy.out)
}

# layout DIR TAG MEMBERS… [-- PYTHON]   an OCI layout whose image has one layer, made by Python from
# members like "w/" or "p=text"; PYTHON may change tar (a TarFile), layer (its descriptor) or config.
layout() {
	python3 - "$@" <<'END'
import gzip, hashlib, io, json, os, sys, tarfile
where, tag, *members = sys.argv[1:]
code = ""
if "--" in members:
    at = members.index("--")
    members, code = members[:at], members[at + 1]
os.makedirs(where + "/blobs/sha256", exist_ok=True)
def put(data, **more):
    digest = hashlib.sha256(data).hexdigest()
    open(where + "/blobs/sha256/" + digest, "wb").write(data)
    return dict(digest="sha256:" + digest, size=len(data), **more)
out = io.BytesIO()
tar = tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT)
for member in members:
    name, _, text = member.partition("=")
    info = tarfile.TarInfo(name.rstrip("/"))
    info.mode = 0o755
    if name.endswith("/"):
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    else:
        info.size = len(text.encode())
        tar.addfile(info, io.BytesIO(text.encode()))
cut = None
config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers"}, "history": []}
annotations = {}
exec(code)
tar.close()
data = out.getvalue()
data = data[:cut] if cut else data
config["rootfs"]["diff_ids"] = ["sha256:" + hashlib.sha256(data).hexdigest()]
layer = put(gzip.compress(data, mtime=0), mediaType="application/vnd.oci.image.layer.v1.tar+gzip")
if annotations:
    layer["annotations"] = annotations
manifest = put(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": put(json.dumps(config).encode(), mediaType="application/vnd.oci.image.config.v1+json"),
    "layers": [layer]}).encode(), mediaType="application/vnd.oci.image.manifest.v1+json",
    annotations={"org.opencontainers.image.ref.name": tag})
json.dump({"schemaVersion": 2, "manifests": [manifest]}, open(where + "/index.json", "w"))
open(where + "/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
END
}
