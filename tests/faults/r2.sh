# What a layer said of its old blob is gone when it is compressed anew.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need docker-registry python3 jq
start_registry main
# The blob is gzip here, so it is pushed as zstd: the rule is the same in both directions.
layout layout base "file=content" -- '
annotations = {"io.github.containers.zstd-chunked.manifest-checksum": "sha256:" + "1" * 64,
               "containerd.io/snapshot/stargz/toc.digest": "sha256:" + "2" * 64, "org.opencontainers.image.title": "t"}'
printf 'name: top\nfrom: {image: "oci:layout:base"}\nlayers: [{name: b, copy: {from: top.yaml, to: /b}}]\n' >top.yaml
check "it stands on such a layer" build top
check "and is pushed in another form" "$SBUILD" push top "$REGISTRY/team/top:v1" --compression zstd
check_equal "what remains is of the content" '{"org.opencontainers.image.title":"t"}' \
	"$(registry_get team/top/manifests/v1 | jq -c '.layers[0].annotations')"
