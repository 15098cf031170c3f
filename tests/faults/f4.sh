# Layers that may not be distributed, and foreign ones, are layers like any other where they can be had.
. tests/faults/lib.sh
need python3 jq
for type in application/vnd.oci.image.layer.nondistributable.v1.tar+gzip application/vnd.docker.image.rootfs.foreign.diff.tar.gzip; do
	rm -rf layout
	layout layout base "file=content"
	python3 - "$type" <<'END'
import hashlib, json, sys
index = json.load(open("layout/index.json"))
manifest = json.load(open("layout/blobs/sha256/" + index["manifests"][0]["digest"][7:]))
manifest["layers"][0]["mediaType"] = sys.argv[1]
data = json.dumps(manifest).encode()
digest = hashlib.sha256(data).hexdigest()
index["manifests"][0].update(digest="sha256:" + digest, size=len(data))
open("layout/blobs/sha256/" + digest, "wb").write(data)
json.dump(index, open("layout/index.json", "w"))
END
	printf 'name: top\nfrom: {image: "oci:layout:base"}\nlayers: [{name: b, copy: {from: top.yaml, to: /b}}]\n' >top.yaml
	check "$type: it is built upon" build top
	check "$type: and read" sh -c "'$SBUILD' ls top | grep -q file"
done
