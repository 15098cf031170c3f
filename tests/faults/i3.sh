# `bundle --push` sends a large layer while it is packed, and says what it fetches, as `build --push` does.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need docker-registry runc
start_registry main
busybox_base
head -c 48000000 /dev/urandom >rootfs/large
cat >app.yaml <<END
name: app
from: base.yaml
compression: gzip
image: {repository: $REGISTRY/team/app, user: "1000", entrypoint: [/bin/sleep, "1000"]}
layers: [{name: large, copy: {from: rootfs/large, to: /more}}]
service: {health: {command: "true"}}
END
check "it is bundled and pushed" env SBUILD_UPLOAD_CHUNK=1048576 "$SBUILD" bundle app.yaml --push --compression gzip --jobs 1
check "chunk by chunk, while it was packed" test "$(registry_log main | grep -c '^"PATCH.* 202')" -gt 40
cat >upon.yaml <<END
name: upon
from: {image: $REGISTRY/team/app:latest}
image: {repository: $REGISTRY/team/upon}
layers: [{name: made, run: "echo more >/more"}]
service: {health: {command: "true"}}
END
check "another upon it, on an empty machine" sh -c "'$SBUILD' bundle upon.yaml --push --progress plain --store '$T/fresh' >out 2>&1"
check "what it fetches is told, blob by blob" has out 'fetched [0-9a-f]* from'
