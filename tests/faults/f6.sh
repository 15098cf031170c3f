# A whiteout in a directory that nothing lies below is not to be seen: what is listed is there.
. tests/faults/lib.sh
need_root
need python3 runc
busybox_root rootfs
layout layout odd w/ w/n/ w/n/a=1 w/n/.wh.z=
cat >step.yaml <<END
name: step
from: {image: "oci:layout:odd"}
layers: [{name: b, copy: {from: rootfs, to: /}}, {name: c, run: "ls /w/n >/list; chown -R 5:5 /w; cp -a /w /copy; tar -cf /dev/null /w"}]
END
check "a step lists, copies and packs it" build step
tree step by-export
check_equal "it lists what is there" a "$(cat by-export/list)"
