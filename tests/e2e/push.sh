#!/bin/sh
# Pushing to a real registry: what is sent, what isn't, and that other tools read it.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
. "$TOP/tests/e2e/peers.lib"
need_root
need jq docker-registry curl

start_registry main
mkdir -p app
echo 'from the application' >app/file
ln -s file app/link
head -c 3000000 /dev/urandom >app/noise
recipe() { # NAME [LINE…]: two copy layers
	cat >"$1.yaml" <<END
name: $1
version: 1.2.3
tags: [semver]
from: scratch
image: {repository: $REGISTRY/team/$1, cmd: [/bin/true], labels: {a: b}}
layers:
  - {name: large, copy: {from: app/noise, to: /noise}}
  - {name: app, copy: {from: app, to: /app, exclude: [noise]}}
END
}
recipe app
seen=0
requests() { # NAME: method, path and status of what came since the last call
	registry_log "$1" >log
	tail -n +$((seen + 1)) log | tr -d '"' | sed -E 's/\?[^ ]* / /; s,/uploads/[^ ]+,/uploads/ID,; s,sha256:[0-9a-f]+,DIGEST,' |
		awk '{ print $1, $2, $4 }'
	seen=$(grep -c '' log)
}
count() { grep -cE "$1" requests || :; }

# ---- build --push ----

check "build --push" "$SBUILD" app.yaml --push --metadata-file app.json
digest=$(jq -r .digest app.json)
requests main >requests
for tag in v1.2.3 v1.2 v1 latest; do
	check_equal "$tag names the image" "$digest" "$(registry_digest team/app $tag)"
done
check_equal "the metadata file tells where it went" \
	"[\"$REGISTRY/team/app\",\"$digest\",[\"v1.2.3\",\"v1.2\",\"v1\",\"latest\"],3]" \
	"$(jq -c '.pushed[0] | [.repository, .digest, .tags, .uploaded]' app.json)"
check_equal "each blob is uploaded once" 3 "$(count '^POST .*/uploads/ 202')"
check_equal "blobs come before manifests" "" \
	"$(sed -n '/^PUT .*manifests/,$p' requests | grep -E '^(POST|PATCH|PUT) .*/blobs/' || :)"
requests main >/dev/null

check "the same again" "$SBUILD" app.yaml --push
requests main >requests
check_equal "asks for each tag, and sends nothing" "4 0" "$(count '^HEAD .*manifests.* 200') $(grep -cvE '^HEAD .*manifests' requests || :)"
echo more >>app/file
check "one layer changes" "$SBUILD" app.yaml --push --metadata-file changed.json
requests main >requests
check_equal "the layer and the config are sent" 2 "$(count '^PUT .*blobs')"
check_equal "nothing is asked for: one layer is known to be there, the other small and new" 0 "$(count '^HEAD .*blobs')"
check_equal "it says so" '2 0 3' "$(jq -r '.pushed[0] | "\(.uploaded) \(.mounted) \(.blobs)"' changed.json)"
check_equal "tags moved" "$(jq -r .digest changed.json)" "$(registry_digest team/app v1)"
check_equal "the image that it was before is still there" "$digest" "$(registry_digest team/app "$digest")"

# ---- push ----

check_equal "push prints where it is" "$REGISTRY/team/copy@$(jq -r .digest changed.json)" \
	"$("$SBUILD" push app "$REGISTRY/team/copy:one" "$REGISTRY/team/copy:two" 2>err)"
requests main >requests
check_equal "blobs are mounted from the other repository" "3 0" "$(count '^POST .*uploads/ 201') $(count '^PUT .*blobs')"
check_equal "both tags" "$(registry_digest team/copy one)" "$(registry_digest team/copy two)"
check "an image goes to the names it has" "$SBUILD" tag app "$REGISTRY/by/name:v9" "$REGISTRY/by/name:v10"
check "all of them" "$SBUILD" push app --json
check_equal "v9, v10" "$(jq -r .digest changed.json) $(jq -r .digest changed.json)" "$(registry_digest by/name v9) $(registry_digest by/name v10)"
check "or to the one that it was called by" "$SBUILD" tag app "$REGISTRY/by/name:alone" "$REGISTRY/by/name:not"
check "it" "$SBUILD" push "$REGISTRY/by/name:alone"
check_equal "alone" "$(jq -r .digest changed.json) " "$(registry_digest by/name alone) $(registry_digest by/name not)"

# ---- a registry that lost what it had ----

rm -rf "$T/registry-main/data/docker/registry/v2/repositories/team/app"
echo again >>app/file
requests main >/dev/null
check "what the registry lost is sent again" "$SBUILD" app.yaml --push --metadata-file lost.json
requests main >requests
check_equal "after it refused the manifest" true "$(test "$(count '^PUT .*manifests.* 400')" -gt 0 && echo true)"
check_equal "and all is there" "$(jq -r .digest lost.json)" "$(registry_digest team/app v1)"

# ---- damage ----

recipe damaged
echo other >app/other
check "another image" "$SBUILD" damaged.yaml
"$SBUILD" inspect damaged --json | jq -r '.layers[1].digest' >layer
blob=$SBUILD_STORE/blobs/sha256/$(sed 's/sha256://' layer)
cp "$blob" saved
printf 'X' | dd of="$blob" bs=1 seek=20 conv=notrunc 2>/dev/null
check_fails "a damaged blob isn't pushed" 6 "$SBUILD" push damaged "$REGISTRY/team/damaged:v1"
cp .check err
check "it is named" grep -q "the blob $(cat layer) in the store .* is damaged" err
check_equal "nothing has the tag" "" "$(registry_digest team/damaged v1)"
cp saved "$blob"
# Through a relay that is slow, a large layer would take a minute: what fails beside it ends it.
cat >relay.py <<'END'
import socket, sys, threading, time
host, port = sys.argv[1].split(":")
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def pump(a, b, pause):
    try:
        while data := a.recv(65536):
            time.sleep(pause * len(data) / 65536)
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
while True:
    client, _ = server.accept()
    registry = socket.create_connection((host, int(port)))
    threading.Thread(target=pump, args=(client, registry, 1), daemon=True).start()
    threading.Thread(target=pump, args=(registry, client, 0), daemon=True).start()
END
python3 relay.py "$REGISTRY" >relay.port &
registries="$registries $!"
wait_for_line . relay.port
SLOW=127.0.0.1:$(cat relay.port)
sed -i "s|^name: .*|name: slow|; s|^layers:|&\n  - {name: larger, copy: {from: larger, to: /larger}}|" damaged.yaml
head -c 4000000 /dev/urandom >larger
check "with a layer more" "$SBUILD" damaged.yaml
printf 'X' | dd of="$blob" bs=1 seek=20 conv=notrunc 2>/dev/null
check_fails "a layer that fails ends the one that is still being sent" 6 timeout 20 "$SBUILD" push slow "$SLOW/team/slow:v1"
cp .check err
check "and is what is told" grep -q "the blob $(cat layer) in the store .* is damaged" err
cp saved "$blob"
check "and with the right bytes" "$SBUILD" push damaged "$REGISTRY/team/damaged:v1"
check_fails "no such host" 5 "$SBUILD" push app registry.invalid/team/app:v1
check_fails "nobody listens" 5 "$SBUILD" push app "127.0.0.1:1/team/app:v1"

# ---- at once ----

recipe many
for i in 1 2 3 4 5; do
	mkdir -p parts/$i && echo "part $i" >parts/$i/file
	sed -i "s|^layers:|&\n  - {name: part-$i, copy: {from: parts/$i, to: /}}|" many.yaml
done
check "an image of many small layers" "$SBUILD" many.yaml
for i in 1 2 3 4 5 6 7 8; do cp -r "$SBUILD_STORE" "$T/at-once-$i"; done
at_once() { # REPOSITORY: eight machines push there
	for i in 1 2 3 4 5 6 7 8; do
		{ "$SBUILD" push many "$REGISTRY/$1:v1" "$REGISTRY/$1:v$i" --store "$T/at-once-$i" >at-once.$i.out 2>&1 || echo "$i failed" >>at-once.failed; } &
		at_once_pids="${at_once_pids:-} $!"
	done
	# shellcheck disable=SC2086 # numbers
	wait $at_once_pids
	at_once_pids=
}
for i in 1 2 3; do at_once at/once-$i; done
check "eight machines push one image at once" test ! -e at-once.failed
[ ! -e at-once.failed ] || cat at-once.*.out
check_equal "it is there, under all names" "$("$SBUILD" inspect many --json | jq -r .digest) 1" \
	"$(registry_digest at/once-3 v8) $(for i in 1 2 3 4 5 6 7 8; do registry_digest at/once-2 v$i; done | sort -u | wc -l)"

start_proxy
recipe other
echo other >app/other && "$SBUILD" other.yaml >/dev/null 2>err
where=fault/push/overtaken/0
check "what comes last" "$SBUILD" push other "$PROXY/$where:other"
check "a push that another one overtakes is none that failed" sh -c '"$0" push many "$1:v1" "$1:latest" >out 2>said' "$SBUILD" "$PROXY/$where"
check_said "warning: $PROXY/$where:latest names another image"
check "no more than that one" test "$(grep -c warning said)" = 1
check_equal "which is true" "$(registry_digest $where other)" "$(registry_digest $where latest)"
check_fails "a registry that took the manifest, and did not" 6 "$SBUILD" push many "$PROXY/fault/push/forgotten/0:latest"
check_said 'does not name it latest now'
where=fault/push/overtaken/1
"$SBUILD" push other "$PROXY/$where:other" "$PROXY/$where:v0" >/dev/null 2>&1
echo more >>app/other
check "nor when it was sent while it was built" "$SBUILD" other.yaml --push --tag "$PROXY/$where:latest" --metadata-file overtaken
check_equal "in the metadata, too" latest "$(jq -r '.pushed[].overtaken[]' overtaken)"
where=fault/push/forgotten/1
"$SBUILD" push many "$REGISTRY/$where:latest" >/dev/null 2>&1
echo more >>app/other
check_fails "a registry whose tag stays at what it was" 6 "$SBUILD" other.yaml --push --tag "$PROXY/$where:latest"
check_said 'does not name it latest now'
rm app/other

# ---- formats ----

check "Docker's format" "$SBUILD" push app "$REGISTRY/docker/app:v1" --format docker
check_equal "its media types" '["application/vnd.docker.distribution.manifest.v2+json","application/vnd.docker.container.image.v1+json","application/vnd.docker.image.rootfs.diff.tar.gzip","application/vnd.docker.image.rootfs.diff.tar.gzip"]' \
	"$(registry_get docker/app/manifests/v1 | jq -c '[.mediaType, .config.mediaType, .layers[].mediaType]')"
requests main >/dev/null
check "again" "$SBUILD" push app "$REGISTRY/docker/app:v1" --format docker
requests main >requests
check_equal "compresses and sends nothing" "HEAD /v2/docker/app/manifests/v1 200" "$(cat requests)"
check "gzip in OCI's format" "$SBUILD" push app "$REGISTRY/gzip/app:v1" --compression gzip
requests main >requests
check_equal "takes the layers that were compressed anew" "3 0" "$(count '^POST .*uploads/ 201') $(count '^PUT .*blobs')"
check_equal "gzip" '["application/vnd.oci.image.layer.v1.tar+gzip"]' "$(registry_get gzip/app/manifests/v1 | jq -c '[.layers[].mediaType] | unique')"
check_equal "diff IDs and config stay" "$(registry_get team/app/manifests/v1 | jq -r .config.digest)" "$(registry_get gzip/app/manifests/v1 | jq -r .config.digest)"
check "build --compression gzip" "$SBUILD" app.yaml --compression gzip --push --tag "$REGISTRY/built/gzip" --metadata-file gzip.json
check_equal "the whole name is used instead of the recipe's" "$REGISTRY/built/gzip" "$(jq -r '.pushed[].repository' gzip.json)"
check_equal "layers are made so, not converted" "$(jq -r .digest gzip.json)" "$(registry_digest built/gzip latest)"

# ---- two images, and one that is built by steps, while its lower layer is sent ----

recipe second
check "two images at once" "$SBUILD" build app.yaml second.yaml --push --metadata-file two.json
check_equal "each to its repository" "$REGISTRY/team/app $REGISTRY/team/second" "$(jq -r '[.images[].pushed[].repository] | join(" ")' two.json)"
if command -v runc >/dev/null || command -v crun >/dev/null; then
	busybox_root rootfs
	cat >steps.yaml <<END
name: steps
from: scratch
image: {repository: $REGISTRY/team/steps, cmd: [/bin/cat, /made]}
layers:
  - {name: busybox, copy: {from: rootfs, to: /}}
  - {name: first, run: "head -c 2000000 /dev/urandom >/one"}
  - {name: second, run: "sleep 2; echo made >/made"}
END
	requests main >/dev/null
	check "a build with steps" "$SBUILD" steps.yaml --push --metadata-file steps.json --progress json
	cp .check steps.events
	check_equal "a layer is sent before the last one is built" true \
		"$(awk '/"event":"transfer","state":"done"/ && !seen { print "true"; exit } /"event":"done".*"layer":"second"/ { seen = 1 }' steps.events)"
	check_equal "and is there" "$(jq -r .digest steps.json)" "$(registry_digest team/steps latest)"
	head -c 2000000 /dev/urandom >rootfs/noise
	for name in left right; do
		cat >$name.yaml <<END
name: $name
from: steps.yaml
image: {repository: $REGISTRY/team/$name}
layers: [{name: $name, run: "sleep 2; echo $name >/$name"}]
END
	done
	requests main >/dev/null
	check "two builds with steps, on one recipe" "$SBUILD" build left.yaml right.yaml --push --metadata-file both.json --progress json
	cp .check both.events
	requests main >requests
	check_equal "layers are sent before the last ones are built" true \
		"$(awk '/"event":"transfer","state":"done"/ && !seen { print "true"; exit } /"event":"done".*"layer":"(left|right)"/ { seen = 1 }' both.events)"
	check_equal "what they have in common goes once: 2 new layers, 1 of each, 2 configs" 6 "$(count '^PUT .*/blobs/uploads/ID 201')"
	check_equal "and is mounted for the other, as what the registry had is for both" 4 "$(count '^POST .*uploads/ 201')"
	check_equal "both are there" "$(jq -r '[.images[].digest] | join(" ")' both.json)" "$(registry_digest team/left latest) $(registry_digest team/right latest)"
fi

# ---- other tools ----

have_peer skopeo || skip "skopeo is not installed"
if have_peer skopeo; then
	for image in team/app:v1 docker/app:v1 gzip/app:v1; do
		check_equal "skopeo inspects $image" "$(registry_digest "${image%:*}" "${image#*:}")" \
			"$(peer skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$REGISTRY/$image" 2>err)"
		check "skopeo copies $image" peer skopeo copy -q --insecure-policy --src-tls-verify=false \
			"docker://$REGISTRY/$image" "oci:skopeo:$(echo "$image" | tr '/:' '--')"
	done
fi
have_peer crane || skip "crane is not installed"
if have_peer crane; then
	for image in docker/app:v1 gzip/app:v1 built/gzip:latest; do # it knows no zstd
		check "crane validates $image" peer crane validate --insecure --remote "$REGISTRY/$image"
	done
fi
have_peer podman && have_peer runc || skip "podman and runc are not installed"
if have_peer podman && have_peer runc && [ -e steps.json ]; then
	check "podman pulls and runs it" sh -c '[ "$0" = made ]' \
		"$(peer_run --tls-verify=false --network none "$REGISTRY/team/steps" 2>err)"
	cat err
fi
