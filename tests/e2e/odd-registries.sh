#!/bin/sh
# Registries and images that are odd, and within their rights: HEAD refused where GET is allowed, layers
# that lie elsewhere or may not be distributed, platforms left empty, layers compressed anew that had
# annotations of other tools.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
. "$TOP/tests/e2e/peers.lib"
need_root
need docker-registry python3 jq zstd
start_registry odd plain REGISTRY_VALIDATION_MANIFESTS_URLS_ALLOW='["^https?://"]' || exit 1
mkdir -p odd/files
"$TOP/tests/e2e/odd-proxy" "$REGISTRY" "$T/odd" >proxy.out 2>proxy.err &
registries="$registries $!"
wait_for_line 'listening on' proxy.out
PROXY=127.0.0.1:$(sed 's/listening on //' proxy.out)

mkdir src
echo content >src/file
printf 'name: app\nfrom: scratch\nlayers: [{name: a, copy: {from: src, to: /}}]\n' >app.yaml
digest=$("$SBUILD" app.yaml 2>err)
config=$("$SBUILD" inspect app --json | jq -r .config_digest)

# ---- HEAD refused

for how in 403 401 400 404 405 500 501 drop bare type elsewhere; do
	where=$PROXY/head-$how/app
	SBUILD_STORE=$T/store-$how
	check "HEAD $how: a push" "$SBUILD" app.yaml --push --tag "$where:v1"
	check "HEAD $how: a second build and push" "$SBUILD" app.yaml --push --tag "$where:v1"
	check_equal "HEAD $how: what is there" "$digest" "$(REGISTRY=$REGISTRY registry_digest "head-$how/app" v1)"
	# A store that knows nothing of it, which has to ask for the blobs.
	rm -rf "$SBUILD_STORE"
	check "HEAD $how: a push of another store" "$SBUILD" app.yaml --push --tag "$where:v2"
	printf 'name: top\nfrom: {image: "%s:v1"}\nlayers: [{name: b, copy: {from: src, to: /b}}]\n' "$where" >top.yaml
	check "HEAD $how: lock" "$SBUILD" lock top.yaml
	check "HEAD $how: the digest is locked" grep -q "$digest" top.lock
	check "HEAD $how: a build on it" "$SBUILD" top.yaml
	rm -f top.lock
	check "HEAD $how: a second build, which asks for the tag" "$SBUILD" top.yaml
	check_fails "HEAD $how: what isn't there isn't" 5 "$SBUILD" pull "$where:never"
done
SBUILD_STORE=$T/store
# The way that most registries are costs no more requests than it did.
: >odd/log
"$SBUILD" app.yaml --push --tag "$PROXY/plain/app:v1" >/dev/null 2>err
: >odd/log
check "a warm push" "$SBUILD" app.yaml --push --tag "$PROXY/plain/app:v1"
check_equal "is one HEAD" "HEAD /v2/plain/app/manifests/v1 200" "$(cat odd/log)"

# ---- images made by hand, in DIR/static/NAME

blob() { # FILE NAME: prints its descriptor's digest and size as JSON members
	mkdir -p "odd/static/$2/blobs" "odd/static/$2/manifests"
	blob_digest=sha256:$(sha256sum "$1" | cut -d' ' -f1)
	cp "$1" "odd/static/$2/blobs/$blob_digest"
	echo "\"digest\": \"$blob_digest\", \"size\": $(stat -c %s "$1")"
}
make_layer() { # makes layer.tar, layer.tar.gz, layer.tar.zst
	tar -C src --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf layer.tar file
	gzip -nkf layer.tar
	zstd -qkf layer.tar
}
make_image() { # NAME PLATFORM-MEMBERS LAYER-DESCRIPTOR
	printf '{%s "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:%s"]}}' "$2" \
		"$(sha256sum layer.tar | cut -d' ' -f1)" >config.json
	made_config=$(blob config.json "$1")
	printf '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"mediaType": "application/vnd.oci.image.config.v1+json", %s}, "layers": [%s]}' \
		"$made_config" "$3" >"odd/static/$1/manifests/v1"
}
on_top() { # NAME: top.yaml builds on it
	printf 'name: top-%s\nfrom: {image: "%s/static/%s:v1"}\nlayers: [{name: b, copy: {from: src, to: /b}}]\n' "$1" "$PROXY" "$1" >top.yaml
}
make_layer
GZIP=application/vnd.oci.image.layer.v1.tar+gzip ZSTD=application/vnd.oci.image.layer.v1.tar+zstd
amd64='"architecture": "amd64", "os": "linux",'

# ---- platforms that say little

number=0
for platform in '"architecture": "", "os": "",' '' '"os": "linux",' '"architecture": "x86_64", "os": "Linux",' \
	'"architecture": "", "os": "linux", "created": "0001-01-01T00:00:00Z",'; do
	number=$((number + 1))
	name=empty$number
	make_image "$name" "$platform" "{\"mediaType\": \"$GZIP\", $(blob layer.tar.gz "$name")}"
	check "platform {$platform}: pull" "$SBUILD" pull "$PROXY/static/$name:v1"
	check "platform {$platform}: pull of one" "$SBUILD" pull --platform linux/amd64 "$PROXY/static/$name:v1"
	on_top "$name"
	check "platform {$platform}: a build on it" "$SBUILD" top.yaml
	check "platform {$platform}: push" "$SBUILD" push "top-$name" "$REGISTRY/team/$name:v1"
	made=$("$SBUILD" inspect "top-$name" --json | jq -r '.os + "/" + .architecture')
	check "platform {$platform}: what is built has one ($made)" expr "$made" : '[Ll]inux/[a-z0-9_]*$'
done
if have_peer crane; then
	check "crane appends to nothing" peer crane append --oci-empty-base --insecure -f layer.tar.gz -t "$REGISTRY/team/crane:v1"
	check "which is pulled" "$SBUILD" pull "$REGISTRY/team/crane:v1"
	printf 'name: crane\nfrom: {image: "%s/team/crane:v1"}\nlayers: [{name: b, copy: {from: src, to: /b}}]\n' "$REGISTRY" >top.yaml
	check "and built upon" "$SBUILD" top.yaml
	check "and pushed" "$SBUILD" push crane "$REGISTRY/team/crane-top:v1"
	if have_peer podman; then
		check "for podman, too" peer_podman pull --tls-verify=false "$REGISTRY/team/crane-top:v1"
	fi
else
	skip "crane is not installed"
fi

# ---- layers that may not be distributed, and lie elsewhere

cp layer.tar.gz odd/files/
cp layer.tar odd/files/
cp layer.tar.zst odd/files/
number=0
for kind in 'vnd.oci.image.layer.nondistributable.v1.tar+gzip layer.tar.gz' 'vnd.oci.image.layer.nondistributable.v1.tar layer.tar' \
	'vnd.oci.image.layer.nondistributable.v1.tar+zstd layer.tar.zst' 'vnd.docker.image.rootfs.foreign.diff.tar.gzip layer.tar.gz'; do
	type=application/${kind% *} file=${kind#* }
	number=$((number + 1))
	name=foreign$number
	sum=sha256:$(sha256sum "$file" | cut -d' ' -f1)
	make_image "$name" "$amd64" "{\"mediaType\": \"$type\", $(blob "$file" "$name"), \"urls\": [\"http://127.0.0.1:1/gone\", \"http://$PROXY/files/$file\"]}"
	rm "odd/static/$name/blobs/$sum" # the registry itself doesn't have it
	SBUILD_STORE=$T/store-$name
	check "$type: pull, from its URL" "$SBUILD" pull "$PROXY/static/$name:v1"
	check "$type: is in the store" test -e "$SBUILD_STORE/blobs/sha256/${sum#sha256:}"
	check "$type: is read" sh -c '"$SBUILD" ls "$1" | grep -q file' sh "$PROXY/static/$name:v1"
	rm -rf "$SBUILD_STORE"
	on_top "$name"
	check "$type: a build on it, which needs only the config" "$SBUILD" top.yaml
	check "$type: push, in another format and compression" "$SBUILD" push "top-$name" "$REGISTRY/team/$name:v1" --compression gzip
	registry_get "team/$name/manifests/v1" >manifest
	check_equal "$type: its descriptor is as it was" "$(printf '%s' "$type" | sed 's/docker.image.rootfs.foreign.diff.tar.gzip/oci.image.layer.nondistributable.v1.tar+gzip/') $sum http://$PROXY/files/$file" \
		"$(jq -r '.layers[0] | .mediaType + " " + .digest + " " + .urls[1]' manifest)"
	check_fails "$type: it was not uploaded" '[^0].*' registry_get "team/$name/blobs/$sum"
	check "$type: what was pushed can be pulled" "$SBUILD" pull "$REGISTRY/team/$name:v1" --store "$T/store-again-$name"
done
SBUILD_STORE=$T/store
# One that a registry has, and no URL: it goes like any other.
make_image plainforeign "$amd64" "{\"mediaType\": \"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip\", $(blob layer.tar.gz plainforeign)}"
check "without urls: pull" "$SBUILD" pull "$PROXY/static/plainforeign:v1"
# Whose URL has something else, or leads where only this machine is.
make_image liar "$amd64" "{\"mediaType\": \"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip\", $(blob layer.tar.gz liar), \"urls\": [\"ftp://$PROXY/x\", \"file:///etc/passwd\", \"http://$PROXY/files/layer.tar\"]}"
rm odd/static/liar/blobs/sha256:"$(sha256sum layer.tar.gz | cut -d' ' -f1)"
check_fails "a URL with other bytes" '[56]' "$SBUILD" pull "$PROXY/static/liar:v1" --store "$T/store-liar"

# ---- what is compressed anew keeps nothing of the old blob

annotations='"io.github.containers.zstd-chunked.manifest-checksum": "sha256:1111111111111111111111111111111111111111111111111111111111111111", "io.github.containers.zstd-chunked.manifest-position": "10:20:30:1", "containerd.io/snapshot/stargz/toc.digest": "sha256:2222222222222222222222222222222222222222222222222222222222222222", "org.opencontainers.image.title": "t"'
make_image chunked "$amd64" "{\"mediaType\": \"$ZSTD\", $(blob layer.tar.zst chunked), \"data\": \"eA==\", \"annotations\": {$annotations}}"
on_top chunked
check "a build on a layer with annotations" "$SBUILD" top.yaml
check "pushed as it is" "$SBUILD" push top-chunked "$REGISTRY/team/chunked:zstd"
check_equal "all of them stay" 4 "$(registry_get team/chunked/manifests/zstd | jq '.layers[0].annotations | length')"
check "pushed as gzip" "$SBUILD" push top-chunked "$REGISTRY/team/chunked:gzip" --compression gzip
check_equal "those of the content stay" '{"annotations":{"org.opencontainers.image.title":"t"},"mediaType":"'$GZIP'"}' \
	"$(registry_get team/chunked/manifests/gzip | jq -Sc '.layers[0] | del(.digest, .size)')"
check_equal "a layer's own name, too" b "$(registry_get team/chunked/manifests/gzip | jq -r '.layers[1].annotations["dev.sbuild.layer.name"]')"
if have_peer podman; then
	check "podman pulls it" peer_podman pull --tls-verify=false "$REGISTRY/team/chunked:gzip"
fi
if have_peer skopeo && peer skopeo copy --help 2>/dev/null | grep -q dest-compress-format; then
	check "skopeo makes one of zstd:chunked" peer skopeo copy --src-tls-verify=false --dest-tls-verify=false --dest-compress-format zstd:chunked --dest-force-compress-format \
		"docker://$REGISTRY/team/chunked:gzip" "docker://$REGISTRY/team/chunked:real"
	printf 'name: real\nfrom: {image: "%s/team/chunked:real"}\nlayers: [{name: c, copy: {from: src, to: /c}}]\n' "$REGISTRY" >top.yaml
	check "a build on it" "$SBUILD" top.yaml
	check "and a push as gzip" "$SBUILD" push real "$REGISTRY/team/real:gzip" --compression gzip
	check_equal "without what zstd:chunked says" 0 "$(registry_get team/real/manifests/gzip | grep -c 'zstd-chunked' || :)"
	if have_peer podman; then
		check "which podman pulls" peer_podman pull --tls-verify=false "$REGISTRY/team/real:gzip"
	fi
else
	skip "skopeo is not installed, or makes no zstd:chunked"
fi
check_equal "the proxy has not failed itself" "" "$(grep -v 'Broken pipe\|reset by peer' proxy.err | grep Error || :)"
