#!/bin/sh
# A disk that is full within a step, or a bootstrap, is told as that: status 1, which disk, what to do.
. tests/faults/lib.sh
need_root
bb
mkdir small
mount -t tmpfs -o size=24m,mode=755 tmpfs small
cat >fills.yaml <<'END'
name: fills
from: bb.yaml
layers: [{name: l, run: "head -c 100000000 /dev/zero >/x"}]
END
check_fails "a step that fills the disk" 1 "$SBUILD" build fills.yaml --store small/store
check_said "the disk is full: $T/small, where tmpfs is mounted, has .* left of 25.2 MB"
check_said 'hint: .*sbuild prune'
