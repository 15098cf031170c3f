#!/bin/sh
# Packing and unpacking a large layer: the dependencies of the demo image when it is there, else
# /usr. Besides the least that it can cost, buildah does the same with the same layer.
. tests/bench/bench.lib

# The largest layer of the demo image, as an unpacked tree and as an image of its own: one-layer
tree=${SB_BENCH_TREE:-}
if "$SBUILD" inspect backend:latest --manifest --store "$DEMO_STORE" >manifest 2>/dev/null; then
	config=$("$SBUILD" inspect backend:latest --config --store "$DEMO_STORE")
	at=$(jq '[.layers[].size] | index(max)' manifest)
	diff_id=$(printf '%s\n' "$config" | jq -r --argjson at "$at" '.rootfs.diff_ids[$at]')
	found=$DEMO_STORE/sbuild/trees/${diff_id#sha256:}
	[ -n "$tree" ] || [ ! -d "$found" ] || tree=$found
	blob=$(jq -r --argjson at "$at" '.layers[$at].digest' manifest)
	blobs=one-layer/blobs/sha256
	mkdir -p "$blobs"
	add() { # FILE: prints its digest and size
		digest=$(sha256sum "$1" | cut -d' ' -f1) && mv "$1" "$blobs/$digest"
		echo "{\"digest\": \"sha256:$digest\", \"size\": $(stat -c %s "$blobs/$digest")}"
	}
	cp "$DEMO_STORE/blobs/sha256/${blob#sha256:}" "$blobs/"
	printf '%s\n' "$config" | jq -c --argjson at "$at" \
		'.rootfs.diff_ids |= [.[$at]] | .history |= [.[$at]]' >new
	jq -c --argjson at "$at" --argjson config "$(add new)" '.layers |= [.[$at]] | .config += $config' manifest >new
	add new | jq -c '{schemaVersion: 2, manifests: [. + {mediaType: "application/vnd.oci.image.manifest.v1+json",
		annotations: {"org.opencontainers.image.ref.name": "one"}}]}' >one-layer/index.json
	echo '{"imageLayoutVersion":"1.0.0"}' >one-layer/oci-layout
fi
[ -n "$tree" ] || tree=/usr
echo "  the tree is $(du -sh "$tree" | cut -f1)"
echo "  packing:"
TMPDIR=$T "$BIN/pack" "$tree" | sed 's/^/    /'
echo "  unpacking:"
mkdir unpacked
"$BIN/unpack" "$tree" "$T/unpacked" | sed 's/^/    /'
rm -rf unpacked

if [ -d one-layer ] && have_peer buildah; then
	storage='--root "$PWD/containers" --runroot "$PWD/containers-run" --storage-driver overlay'
	echo "exec buildah $storage pull -q oci:one-layer:one" >pull.sh
	echo "image=\$(buildah $storage images -q) && exec buildah $storage push -q --compression-format zstd \"\$image\" oci:pushed:one" >push.sh
	prefix=${SB_PEERS:+$SB_PEERS $T}
	measure -n 1 $prefix sh pull.sh
	show "buildah pull (unpacks)" "$best"
	measure -n 2 -b 'rm -rf pushed' $prefix sh push.sh
	show "buildah push oci: (zstd)" "$best"
fi

# ---- memory, with 4 GB ----

mkdir big
head -c 1000000000 /dev/urandom >big/random
for i in 1 2 3; do
	find "$tree" -xdev -type f -size +1000k -exec cat {} + 2>/dev/null | head -c 1000000000 >"big/$i" || :
done
printf 'name: big\nfrom: scratch\nlayers: [{name: big, copy: {from: big, to: /}}]\n' >big.yaml
measure -n 1 "$SBUILD" big.yaml -j2
show "building a layer of $(du -sm big | cut -f1) MB, two threads" "$best"
promise "peak memory of that (MB)" "$peak" 150
