#!/bin/sh
# What a registry costs: pushing, pulling and unpacking the demo image, and building on a base that
# lies in the registry; docker-registry on loopback, buildah and docker beside it.
. tests/bench/bench.lib

need() { # PROGRAM…
	for program; do
		command -v "$program" >/dev/null || { echo "  $program is not installed"; exit 0; }
	done
}
. "$TOP/tests/e2e/registry.lib"
need docker-registry jq python3
"$SBUILD" inspect backend:latest --manifest --store "$DEMO_STORE" >manifest 2>/dev/null || {
	echo "  no image backend:latest in $DEMO_STORE: make demo, or set SB_BACKEND_STORE"
	exit 0
}
start_registry bench
config=$("$SBUILD" inspect backend:latest --config --store "$DEMO_STORE")
size=$(jq '[.layers[].size] | add / 1e6 | floor' manifest)
echo "  the image has $(jq '.layers | length' manifest) layers, $size MB of blobs"
unset SBUILD_STORE
buildah="buildah --root \"\$PWD/containers\" --runroot \"\$PWD/containers-run\" --storage-driver overlay"
prefix=${SB_PEERS:+$SB_PEERS $T}

# ---- push: the whole image, packed and pushed, against packing alone ----

# The large layers again, from their trees: nothing is in the store, so all is packed.
{
	printf 'name: whole\nfrom: scratch\ncontext: %s/sbuild/trees\nlayers:\n' "$DEMO_STORE"
	printf "%s\n" "$config" | jq -r '.rootfs.diff_ids[]' | while read -r id; do
		id=${id#sha256:}
		[ ! -d "$DEMO_STORE/sbuild/trees/$id/fs" ] || echo "  - {name: l${id%${id#??????}}, copy: {from: $id/fs, to: /}}"
	done
} >whole.yaml
if grep -q copy: whole.yaml; then
	allow= # an older program, to compare with, has no such option
	! "$SBUILD" build --help | grep -q -e --allow || allow="--allow $DEMO_STORE"
	measure -n 2 -b 'rm -rf packed' "$SBUILD" build whole.yaml $allow --store "$T/packed"
	show "packing the whole image" "$best"
	packing=$best
	# A repository that is new each time: the registry has none of it.
	cat >push.sh <<-'END'
		echo x >>pushes
		exec "$SBUILD" build whole.yaml $ALLOW --store "$PWD/packed" --push -t "$REGISTRY/whole-$(wc -l <pushes)/image:latest"
	END
	export REGISTRY ALLOW="$allow"
	measure -n 2 -b 'rm -rf packed' sh push.sh
	show "packing and pushing it" "$best"
	promise "against packing alone" "$(awk "BEGIN { print $best / $packing }")" 1.3
	rm -rf packed
fi
measure -n 1 "$SBUILD" push backend:latest "$REGISTRY/demo/backend:latest" --store "$DEMO_STORE"
show "pushing the demo image, packed before" "$best"
pushing=$best
if have_peer skopeo; then
	mkdir -p layout && cp -r --reflink=auto "$DEMO_STORE/oci-layout" "$DEMO_STORE/index.json" "$DEMO_STORE/blobs" layout/
	measure -n 1 $prefix skopeo copy -q --dest-tls-verify=false oci:layout:backend:latest "docker://$REGISTRY/skopeo/backend:latest"
	show "skopeo does so" "$best" "$pushing"
	rm -rf layout
fi

# ---- pull and unpack ----

sync
mkdir least
"$BIN/unpack" "$DEMO_STORE" backend:latest "$T/least" 0 >least.out
rm -r least
floor=$(sed -n 's/.* cores: \([0-9.]*\) s.*/\1/p' least.out | awk '{ print $1 * 1000 }')
sed 's/^/  the least: /' least.out
sync
measure -n 1 "$SBUILD" pull "$REGISTRY/demo/backend:latest" --unpack --store "$T/pulled"
show "pulling and unpacking it" "$best" "$floor"
promise "against the least" "$(awk "BEGIN { print $best / $floor }")" 1.5
pulling=$best
if have_peer buildah; then
	sync
	echo "exec $buildah pull -q --tls-verify=false docker://$REGISTRY/demo/backend:latest" >pull.sh
	measure -n 1 $prefix sh pull.sh
	show "buildah pull" "$best"
	promise "against buildah pull" "$(awk "BEGIN { print $pulling / $best }")" 0.25
	$prefix sh -c "$buildah rmi -af" >/dev/null 2>&1 || :
fi

# ---- one file of the application, over a base that is not here ----

base=$REGISTRY/demo/base:latest
"$SBUILD" push backend:latest "$base" --store "$DEMO_STORE" >/dev/null
mkdir -p app/src
for i in $(seq 300); do echo "print($i)" >"app/src/file-$i.py"; done
printf 'name: app\nfrom: {image: %s}\nlayers: [{name: app, copy: {from: app/src, to: /app}}]\n' "$base" >app.yaml
printf 'FROM %s\nCOPY app/src /app\n' "$base" >app/Dockerfile
change='date +%N >>app/src/file-150.py'

app="$SBUILD build app.yaml --store $T/cold -t $REGISTRY/demo/app:latest --push"
$app >/dev/null 2>&1 # the registry has the rest of it from then on
before=$(registry_sent bench)
measure -n 5 -b "rm -rf cold; $change" $app
show "cold: a file changed, built and pushed" "$best"
promise "cold (ms)" "$best" 150
promise "cold: received (KB)" "$(awk "BEGIN { print ($(registry_sent bench) - $before) / 5 / 1000 }")" 100
measure -n 20 -b "$change" $app
show "warm: a file changed, built and pushed" "$best"
promise "warm (ms)" "$best" 60

if have_peer buildah; then
	cat >app.sh <<-END
		$buildah bud --layers -q --tls-verify=false -t $REGISTRY/demo/buildah:latest -f app/Dockerfile . >/dev/null &&
			exec $buildah push -q --tls-verify=false $REGISTRY/demo/buildah:latest
	END
	measure -n 1 -b "$change" $prefix sh app.sh
	show "buildah, cold" "$best"
	measure -n 3 -b "$change" $prefix sh app.sh
	show "buildah, warm" "$best"
fi
if have_docker; then
	docker=${SB_DOCKER:-docker}
	echo "tar -cf - app | $docker build -q --pull -t $REGISTRY/demo/docker:latest -f app/Dockerfile - && exec $docker push -q $REGISTRY/demo/docker:latest" >docker.sh
	$docker image rm -f "$base" >/dev/null 2>&1 || :
	measure -n 1 -b "$change" sh docker.sh
	show "docker, cold" "$best"
	measure -n 3 -b "$change" sh docker.sh
	show "docker, warm" "$best"
	$docker image rm -f "$base" "$REGISTRY/demo/docker:latest" >/dev/null 2>&1 || :
fi
