#!/bin/sh
# build --push sends a large layer while it is still being packed; and whatever happens to that
# upload, the image is right, and no upload is left open in the registry.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need jq docker-registry curl python3
export SBUILD_UPLOAD_CHUNK=1048576 SBUILD_RETRY_BASE_MS=5 SBUILD_STALL_SECONDS=2

start_registry main
start_proxy
head -c 48000000 /dev/urandom >noise
cat >large.yaml <<'END'
name: large
from: scratch
layers:
  - {name: large, copy: {from: noise, to: /noise}}
END
# gzip takes its time, so that there is a while to be sent in.
build() { # WHERE [OPTION…]: $RECIPE, in a store that knows nothing
	where=$1
	shift
	${EXEC:-} "$SBUILD" build "${RECIPE:-large}.yaml" --store "$T/stores/$(echo "$where" | tr -c 'a-z0-9\n' -)$$" --compression gzip --jobs 1 \
		--push --tag "$where" --metadata-file out.json "$@"
}
mkdir stores
requests() { # REPOSITORY: method and status of those to its uploads
	registry_log main | grep -a "/v2/$1/blobs/uploads/" | tr -d '"' | awk '{ print $1, $4 }'
}
uploads() { # REPOSITORY: sessions that are open
	find "$T/registry-main/data/docker/registry/v2/repositories/$1/_uploads" -name startedat 2>/dev/null | grep -c '' || :
}
sent_before() { # REPOSITORY PID: waits until something of the layer is there
	for _ in $(seq 1000); do
		! requests "$1" | grep -q 'PATCH 202' || return 0
		kill -0 "$2" 2>/dev/null || return 1
		sleep 0.01
	done
	return 1
}
is_there() { # REPOSITORY: the image that was built, layer and all
	[ "$(jq -r .digest out.json)" = "$(registry_digest "$1" latest)" ] &&
		layer=$(registry_get "$1/manifests/latest" | jq -r '.layers[0].digest') &&
		[ "$(registry_get "$1/blobs/$layer" | sha256sum | cut -c1-64)" = "${layer#sha256:}" ]
}

# ---- while it is packed ----

EXEC=exec build "$REGISTRY/team/app" --progress json 2>events &
pid=$!
check "chunks are sent" sent_before team/app "$pid"
check_equal "while the layer is being packed" 0 "$(grep -c '"event": *"done"' events || :)"
check "the build ends well" wait "$pid"
check "and the image is there" is_there team/app
check_equal "in one upload of the layer, and one of the config" 2 "$(requests team/app | grep -c '^POST')"
check_equal "chunk by chunk" true "$([ "$(requests team/app | grep -c '^PATCH 202')" -gt 40 ] && echo true)"
check_equal "nothing is left open" 0 "$(uploads team/app)"

# ---- the registry has it already ----

before=$(requests team/app | grep -c '' || :)
sed 's/^layers:/image: {labels: {other: image}}\nlayers:/' large.yaml >other.yaml
RECIPE=other
check "another store packs the same layer" build "$REGISTRY/team/app:other"
RECIPE=large
requests team/app | tail -n +$((before + 1)) >requests
check_equal "whose upload began" true "$(grep -q '^PATCH 202' requests && echo true)"
check_equal "and was given up" 1 "$(grep -c '^DELETE 204' requests)"
check_equal "nothing is left open" 0 "$(uploads team/app)"
check_equal "the image is there" "$(jq -r .digest out.json)" "$(registry_digest team/app other)"
check_equal "the layer was not sent" '1' "$(jq -r '.pushed[0].uploaded' out.json)"

# ---- interrupted, failed ----

EXEC=exec build "$REGISTRY/team/stopped" 2>err &
pid=$!
check "its upload begins" sent_before team/stopped "$pid"
kill -TERM "$pid"
check_fails "interrupted" 143 wait "$pid"
check_equal "the registry was told to forget it" 1 "$(requests team/stopped | grep -c '^DELETE 204')"
check_equal "nothing is left open" 0 "$(uploads team/stopped)"

# ---- uploads that go wrong ----

for fault in drop/1 reset/3 upload-reset/2 stall/2 busy/4 expired/3 wrong-digest/0 drop/1x; do
	repository=fault/push/$fault
	case $fault in *x) ;; *) check "$fault: the image is built and sent" build "$PROXY/$repository" ;; esac
	case $fault in
	*x) check_fails "$fault: a registry that never works is told of" 5 build "$PROXY/$repository" ;;
	*) check "$fault: it is there" is_there "$repository" ;;
	esac
done
