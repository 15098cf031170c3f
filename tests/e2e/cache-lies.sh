#!/bin/sh
# Hostile and damaged records of a shared cache: each counts as none, or is found out when its layer is
# unpacked: then the build makes the layer itself. Whatever is in the registry,
# an image comes out as without it, or none does.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need python3 crun
busybox_root root
head -c 3000000 /dev/urandom >root/ballast
start_registry liar
LIES=$REGISTRY/cache
write_recipe() { # STEP
	cat >lied.yaml <<-END
		name: lied
		from: scratch
		layers:
		  - name: root
		    copy: {from: root, to: /}
		  - name: top
		    run: $1
	END
}
cat >change.py <<'END'
"""change.py HOST TAG CHANGE: rewrites the record at TAG of HOST/cache."""
import hashlib, json, sys, urllib.request
host, tag, change = sys.argv[1:4]
kind = "application/vnd.oci.image.manifest.v1+json"
def ask(method, path, body=None, headers={}):
    url = path if path.startswith("http") else f"http://{host}/v2/cache/{path}"
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    return urllib.request.urlopen(request)
def put_blob(data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    where = ask("POST", "blobs/uploads/", b"").headers["Location"]
    ask("PUT", where + ("&" if "?" in where else "?") + "digest=" + digest, data,
        {"Content-Type": "application/octet-stream"})
    return {"digest": digest, "size": len(data)}
manifest = json.load(ask("GET", "manifests/" + tag, headers={"Accept": kind}))
notes, layers = manifest["annotations"], manifest["layers"]
exec(change)
body = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
ask("PUT", "manifests/" + tag, body, {"Content-Type": kind})
END
STEP=second # of the victim; the layer root is that of the liar
lie() { # CHANGE: to a fresh record of the root layer
	rm -rf L
	write_recipe 'echo first >/step'
	"$SBUILD" lied.yaml --store L --no-cache --cache-to "$LIES" >/dev/null 2>err
	tag=$("$SBUILD" cache ls "$LIES" --json | python3 -c 'import json, sys
print([r["tag"] for r in json.load(sys.stdin) if r["layer"] == "root"][0])')
	python3 change.py "$REGISTRY" "$tag" "$1"
	write_recipe "echo $STEP >/step"
	rm -rf V
}
victim() { "$SBUILD" lied.yaml --store V --cache-from "$LIES" --progress plain "$@" >out 2>err; }
write_recipe 'echo second >/step'
truth=$("$SBUILD" lied.yaml --store L2 2>/dev/null)

ignored() { # NAME CHANGE [MESSAGE]
	lie "$2"
	check "$1: the build goes on" victim
	check "$1: it is told" grep -q "warning: the cache.*${3:-counts as none}" err
	check_equal "$1: the image is what it should be" "$truth" "$(cat out)"
}
number=0
another_step() { # which no record is there of yet
	number=$((number + 1)) STEP=step-$number
	write_recipe "echo $STEP >/step"
	truth=$("$SBUILD" lied.yaml --store L2 2>/dev/null)
}
found_out() { # NAME CHANGE
	another_step
	lie "$2"
	check "$1: the layer is built instead" victim --cache-to "$LIES"
	check "$1: the record is named" grep -q 'warning: .*a shared cache has a record of the layer root that is wrong: .*: it is built here instead' err
	check_equal "$1: the image is what it should be" "$truth" "$(cat out)"
	rm -rf V
	check "$1: the record is replaced" victim
	check_equal "$1: nobody is warned any more" 0 "$(grep -c warning: err)"
	check_equal "$1: the layer comes from the cache" 1 "$(grep -c 'cached lied root  in' err)"
}
check "without a lie the victim takes the layer" lie 'pass'
check "it does" victim
check_equal "the image is what it should be" "$truth" "$(cat out)"
ignored "another key" 'notes["dev.sbuild.cache.key"] = "sha256:" + 64 * "0"' 'another key'
ignored "no diff ID" 'del notes["dev.sbuild.cache.diff-id"]'
ignored "a layer of a strange type" 'layers[0]["mediaType"] = "application/octet-stream"'
ignored "a bomb" 'notes["dev.sbuild.cache.tar-size"] = "999999999999999"'
ignored "a huge table" 'layers[1]["size"] = 1 << 40'
ignored "no layers" 'manifest["layers"] = []'
found_out "another diff ID" 'notes["dev.sbuild.cache.diff-id"] = "sha256:" + 64 * "1"'
found_out "another size of the tar" 'notes["dev.sbuild.cache.tar-size"] = "1024"'
found_out "another layer" 'layers[0].update(put_blob(b"this is no layer"))'
found_out "a layer cut short" 'layers[0]["size"] -= 1'
another_step
lie 'layers[1].update(put_blob(b"this is no table of contents"))'
check "no table of contents: the layer is read instead" victim
check_equal "and the image is what it should be" "$truth" "$(cat out)"

another_step
lie 'pass'
rm -rf V2
"$SBUILD" inspect lied --store L --json >inspected
gone=$(python3 -c 'import json; print(json.load(open("inspected"))["layers"][0]["digest"])')
check "a layer that is gone" python3 -c 'import sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="DELETE"))' "http://$REGISTRY/v2/cache/blobs/$gone"
check "is built, and pushed" victim --cache-to "$LIES" --push --tag "$REGISTRY/team/lied:v1"
check "the record is named" grep -q 'warning: .*the layer root that is wrong: .*: it is built here instead' err
check_equal "the image is what it should be" "$truth" "$(cat out)"
check_equal "there, too" "$truth" "$("$SBUILD" pull "$REGISTRY/team/lied:v1" --store V2 2>/dev/null)"
rm -rf V
check "the layer is there again" victim
check_equal "in the cache" "1 0" "$(grep -c 'cached lied root  in' err) $(grep -c warning: err)"

another_step
lie 'pass'
blob=$(find "$T/registry-liar/data" -name data -path '*blobs*' -size +2000k | head -n 1)
printf X | dd of="$blob" bs=1 seek=1000000 conv=notrunc 2>/dev/null
check "a registry whose disk is damaged: the layer is built" victim
check_equal "and the image is what it should be" "$truth" "$(cat out)"

# A table of contents that lies of modes decides what its readers copy from a stage; not what those of a cache get that
# such a reader writes.
mkdir stage && echo harmless >stage/file
cat >taker.yaml <<-'END'
	name: taker
	from: scratch
	stages:
	  - {name: one, from: scratch, layers: [{name: taken, copy: {from: stage, to: /}}]}
	layers:
	  - {name: top, copy: {stage: one, from: file, to: /file}}
END
cat >retell.py <<'END'
import gzip, io, struct, tarfile, zlib
own = tarfile.open(fileobj=io.BytesIO(ask("GET", "blobs/" + layers[1]["digest"]).read()), mode="r:*")
table = bytearray(own.extractfile("contents").read())
table[72 + 8:72 + 12] = struct.pack("<I", 0o104755)  # of the one record
table[64:68] = struct.pack("<I", zlib.crc32(bytes(table[:64] + table[72:])))
out = io.BytesIO()
info = tarfile.TarInfo("contents")
info.size = len(table)
with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
    tar.addfile(info, io.BytesIO(table))
layers[1].update(put_blob(gzip.compress(out.getvalue())))
END
truth=$("$SBUILD" taker.yaml --store T1 2>/dev/null)
"$SBUILD" taker.yaml --store T2 --until one/taken --cache-to "$LIES" >/dev/null 2>err
tag=$("$SBUILD" cache ls "$LIES" --json | python3 -c 'import json, sys
print([r["tag"] for r in json.load(sys.stdin) if r["layer"] == "taken"][0])')
check "a table that lies" python3 change.py "$REGISTRY" "$tag" "$(cat retell.py)"
"$SBUILD" taker.yaml --store T3 --cache-from "$LIES" --cache-to "$REGISTRY/other" >told 2>err
check "is believed by who reads that cache" test "$truth" != "$(cat told)"
check_equal "and by nobody else" "$truth" "$("$SBUILD" taker.yaml --store T4 --cache-from "$REGISTRY/other" 2>/dev/null)"
