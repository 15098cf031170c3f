# A descriptor keeps neither `data` nor `urls` of a blob that was compressed anew.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need docker-registry python3 jq
start_registry main
layout layout base "file=content"
python3 - <<'END'
import hashlib, json
index = json.load(open("layout/index.json"))
path = "layout/blobs/sha256/" + index["manifests"][0]["digest"][7:]
manifest = json.load(open(path))
manifest["layers"][0].update(data="eA==", urls=["https://example.com/blob"])
data = json.dumps(manifest).encode()
index["manifests"][0].update(digest="sha256:" + hashlib.sha256(data).hexdigest(), size=len(data))
open("layout/blobs/sha256/" + hashlib.sha256(data).hexdigest(), "wb").write(data)
json.dump(index, open("layout/index.json", "w"))
END
printf 'name: top\nfrom: {image: "oci:layout:base"}\nlayers: [{name: b, copy: {from: top.yaml, to: /b}}]\n' >top.yaml
check "it stands on such a layer" build top
check "and is pushed in another form" "$SBUILD" push top "$REGISTRY/team/top:v1" --compression zstd
check_equal "it is what it is" '["digest","mediaType","size"]' "$(registry_get team/top/manifests/v1 | jq -c '.layers[0] | del(.annotations) | keys')"
