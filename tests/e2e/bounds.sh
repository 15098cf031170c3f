#!/bin/sh
# Foreign bytes that would take more memory, time, depth or say over the terminal than they should.
. tests/e2e/lib.sh
need_root
need runc jq python3 perl
busybox_base
bring perl rootfs

# ---- depth: a step makes directories in one another by changing into them ----

cat >deep.yaml <<'END'
name: deep
from: base.yaml
layers:
  - name: deep
    cache: [/var/cache/deep]
    run: |
      mkdir -p /srv
      for place in /srv /var/cache/deep; do
        perl -e 'chdir shift; for (1 .. 4000) { mkdir "a"; chdir "a" or die }' $place
      done
END
few() { # COMMAND… with few descriptors
	(ulimit -Sn 256 && ulimit -Hn 1024 && exec "$@")
}
check_fails "4,000 directories in one another are no layer" 1 few "$SBUILD" deep.yaml
check_said 'a path of more than 4096 bytes'
deep=$(find "$SBUILD_STORE/sbuild/tmp" -mindepth 1 2>/dev/null | wc -l)
check_equal "nothing of them is left" 0 "$deep"
check "what is in a cache directory is measured" few "$SBUILD" prune --dry-run
check "and removed" few "$SBUILD" prune --max-size 0
check_equal "the cache directory is gone" 0 "$(find "$SBUILD_STORE/sbuild/caches" -name a | wc -l)"
mkdir -p "$SBUILD_STORE/sbuild/tmp/1234.0123456789abcdef"
(cd "$SBUILD_STORE/sbuild/tmp/1234.0123456789abcdef" &&
	python3 -c 'import os
for i in range(4000): os.mkdir("a"); os.chdir("a")')
check "what a dead process left is swept" few "$SBUILD" images
check_equal "all of it" "" "$(ls "$SBUILD_STORE/sbuild/tmp")"
