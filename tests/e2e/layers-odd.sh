#!/bin/sh
# Layers of odd entries (files where directories were, whiteouts of nothing, in new directories, of what the same layer
# has; directories that nobody mentions; devices that stand for nothing): a step, `export`, `ls`, a copy from the image and umoci see one tree.
# SB_ODD_LAYERS=500 of them, from seed SB_ODD_SEED on.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
need_root
need python3 runc
busybox_root rootfs
odd() { python3 "$TOP/tests/e2e/layers-odd.py" "$@"; }
# What a step sees, as odd listing reads it.
cat >rootfs/list <<'END'
cd /
find t -mindepth 1 | while read -r path; do
	link=; ! [ -h "$path" ] || link=$(readlink "$path")
	stat -c "%n|%F|%a|%s|%t:%T|$link" "$path"
done >/listing
END
count=${SB_ODD_LAYERS:-12} seed=${SB_ODD_SEED:-1} umoci=
! have_peer umoci || umoci=1
unpacked=0 compared=0 copied=0 broken=0 refused=0 umoci_refused=0
odd make "$seed" "$count"
more() { # LAYER…: one more image
	mkdir "case-$((seed + count))"
	odd image "case-$((seed + count))/layout" "$@"
	count=$((count + 1))
}
more "a 5 755, a/b 0 644, a/c 5 755" "a 3 600 1:3" "a/d 0 644" # a device took the place of a directory
more "a 0 640, b 1 755 t/a, c 1 600 t/b"                       # what a link's entry says counts for nothing
for i in $(seq "$seed" $((seed + count - 1))); do
	cd "case-$i"
	cat >step.yaml <<-END
		name: step
		from: {image: "oci:layout:odd"}
		context: ..
		layers: [{name: list, copy: {from: rootfs, to: /}}, {name: run, run: ". /list"}]
	END
	cat >copy.yaml <<-END
		name: copy
		from: scratch
		layers: [{name: all, copy: {image: "oci:layout:odd", from: t, to: /t}}]
	END
	status=0 status_export=0
	"$SBUILD" build step.yaml --allow "$T" >build.out 2>&1 || status=$?
	"$SBUILD" export oci:layout:odd --format rootfs -o odd.tar >export.out 2>&1 || status_export=$?
	if [ "$status$status_export" != 00 ]; then
		# Refused by all, or by none.
		[ "$status" != 0 ] && [ "$status_export" != 0 ] && refused=$((refused + 1)) || {
			broken=$((broken + 1))
			echo "case $i: step $status, export $status_export"
			tail -n 3 build.out export.out; cat layout.txt
		} >>../broken
		cd .. && rm -rf "case-$i"
		continue
	fi
	"$SBUILD" export step --format rootfs -o step.tar >export.out 2>&1
	tar -xf step.tar listing
	# umoci follows symlinks of its own layer, also in circles.
	explained='too many levels of symbolic links'
	set -- tar odd.tar by-export listing listing by-step tar step.tar by-export-of-step
	if [ -z "$umoci" ] || ! [ -e layout.umoci ]; then
		:
	elif peer umoci unpack --image "case-$i/layout:odd" "case-$i/bundle" >umoci.out 2>&1; then
		set -- "$@" tree bundle/rootfs tree umoci tree by-umoci umoci by-export as-umoci
		unpacked=$((unpacked + 1))
	elif grep -qE "$explained" umoci.out; then
		umoci_refused=$((umoci_refused + 1))
	else
		tail -n 1 umoci.out >differs-umoci
	fi
	# Devices stay behind; FIFOs are a mistake.
	if "$SBUILD" build copy.yaml >copy.out 2>&1; then
		"$SBUILD" export copy --format rootfs -o copy.tar >export.out 2>&1
		set -- "$@" tar copy.tar by-copy-of-image
		copied=$((copied + 1))
	elif ! grep -q 'not a file, a directory or a symbolic link' copy.out; then
		grep -m 1 error: copy.out >differs-copy
	fi
	odd read "$@"
	if [ -e by-copy-of-image ]; then
		awk '$2 != "c" && $2 != "b"' by-export >by-export-without
		diff by-export-without by-copy-of-image | sed "s/^/    by-copy-of-image: /" >differs-copy
	fi
	"$SBUILD" ls oci:layout:odd -R 2>/dev/null | sed -n 's|.* t/|t/|p' | sed 's|/$||; s| -> .*||; s| = .*||' | grep . | sed '/^t$/d' | sort >by-ls
	cut -d ' ' -f 1 by-export | sort >names
	others="by-step by-export-of-step"
	[ ! -e tree ] || diff as-umoci by-umoci | sed "s/^/    by-umoci: /" >differs-umoci
	same=yes
	for other in $others; do cmp -s by-export $other || same=no; done
	cmp -s names by-ls || same=no
	[ ! -s differs-umoci ] || same=no
	[ ! -s differs-copy ] || same=no
	if [ $same = no ]; then
		broken=$((broken + 1))
		{
			echo "case $i:"
			cat layout.txt
			for other in $others; do diff by-export $other | sed "s/^/    $other: /"; done
			[ ! -e differs-umoci ] || cat differs-umoci
			[ ! -e differs-copy ] || cat differs-copy
			diff names by-ls | sed "s/^/    by-ls: /"
		} >>../broken
	fi
	compared=$((compared + 1))
	cd ..
	rm -rf "case-$i"
done
note "$compared layers compared, $refused refused by all, $copied copied from; umoci unpacked $unpacked, and can't $umoci_refused"
check_equal "all see one tree, in $count odd images" 0 "$broken"
[ "$broken" = 0 ] || head -n 200 broken

mkdir replaced
odd image replaced/layout "a 5 755, a/b 0 640, c/b 1 644 t/a/b, a 0 600"
cat >replaced.yaml <<-END
	name: replaced
	from: scratch
	layers: [{name: c, copy: {image: "oci:replaced/layout:odd", from: t/c, to: /t/c}}]
END
check "a link to what was replaced since is copied" "$SBUILD" replaced.yaml
check_equal "as the file that it is" "-rw-r----- t/c/b" "$("$SBUILD" export replaced --format rootfs -o - | tar tv | awk '/b$/ { print $1, $6 }')"
