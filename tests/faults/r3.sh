# An image whose config names neither system nor processor is one that any machine may build upon.
. tests/faults/lib.sh
need python3 jq
bb
python3 - "$SBUILD_STORE" <<'END'
import hashlib, json, os, sys
store = sys.argv[1]
blobs = store + "/blobs/sha256/"
def put(value):
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    open(blobs + digest, "wb").write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}
index = json.load(open(store + "/index.json"))
manifest = json.load(open(blobs + index["manifests"][0]["digest"][7:]))
config = json.load(open(blobs + manifest["config"]["digest"][7:]))
config["os"] = config["architecture"] = ""
manifest["config"].update(put(config))
os.makedirs("layout/blobs", exist_ok=True)
index["manifests"] = [dict(put(manifest), mediaType=index["manifests"][0]["mediaType"], annotations={"org.opencontainers.image.ref.name": "empty"})]
json.dump(index, open("index.new", "w"))
os.rename("index.new", store + "/index.json")
END
printf 'name: app\nfrom: {image: empty}\nlayers: [{name: hello, run: "echo hello >/hello"}]\n' >app.yaml
check "a recipe stands on it" build app
check "and has what it made" sh -c "'$SBUILD' ls app:latest | grep -q 'hello$'"
