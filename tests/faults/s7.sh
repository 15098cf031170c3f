#!/bin/sh
# A default ACL above the store, limits and the personality of whoever builds are in no layer.
. tests/faults/lib.sh
need_root
need python3 setarch prlimit
bb
cat >s7.yaml <<'END'
name: s7
from: bb.yaml
layers: [{name: l, run: "mkdir /d && echo >/d/f; uname -m >/machine; ulimit -f >/files"}]
END
mkdir plain acl
python3 -c 'import os, struct
def entry(tag, perm, who=0xffffffff): return struct.pack("<HHI", tag, perm, who)
os.setxattr("acl", "system.posix_acl_default", struct.pack("<I", 2) + entry(1, 7) + entry(2, 7, 12345) + entry(4, 5) + entry(16, 7) + entry(32, 5))' || skip_all "no ACLs here"
"$SBUILD" build s7.yaml --store plain/s >a 2>/dev/null
setarch i686 prlimit --fsize=400000000: "$SBUILD" build s7.yaml --store acl/s >b 2>err || cat err
check_equal "one digest" "$(cat a)" "$(cat b)"
