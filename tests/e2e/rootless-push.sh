#!/bin/sh
# A user without rights builds, pushes, pulls and unpacks: nothing of pushing, nor of the progress on a
# terminal, has a thread when the user namespace is entered.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need runc jq script docker-registry
test_user
start_registry main
busybox_root rootfs
chmod -R a+rX rootfs
cat >steps.yaml <<END
name: steps
from: scratch
image: {repository: $REGISTRY/team/steps}
layers:
  - {name: copied, copy: {from: rootfs, to: /}}
  - {name: run, run: "echo made >/made; chown 1:1 /made"}
END
chown "$user" "$T"
check "build --push on a terminal" as_user script -qec "$SBUILD steps.yaml --push --progress tty --metadata-file $T/home/steps.json" /dev/null
digest=$(jq -r '.pushed[].digest' home/steps.json)
check "it is pushed" test -n "$digest"
check_equal "another user's store has it, unpacked" "$digest" \
	"$(as_user SBUILD_STORE="$T/home/other" "$SBUILD" pull "$REGISTRY/team/steps" --unpack 2>err)"
check_equal "two trees" 2 "$(find home/other/sbuild/trees -mindepth 1 -maxdepth 1 | wc -l)"
first() { sed -n "s/^$user:\\([0-9]*\\):.*/\\1/p" "$1" | head -n 1; }
check_equal "with the owners that they should have" "$(first /etc/subuid) $(first /etc/subgid)" "$(stat -c '%u %g' home/other/sbuild/trees/*/fs/made)"
check "and it goes on from there" as_user SBUILD_STORE="$T/home/other" "$SBUILD" push "$REGISTRY/team/steps:latest" "$REGISTRY/copy/steps" --format docker
