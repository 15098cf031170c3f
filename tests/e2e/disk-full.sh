#!/bin/sh
# Disks that are full of bytes or of files, read-only, or of which a limit takes no more: status 1, which disk, what to do; nothing is
# left half, and `sbuild prune` works on a disk that is full.
. tests/e2e/lib.sh
need_root
need runc python3
busybox_base
mkdir small ctx
head -c 30000000 /dev/urandom >ctx/f
printf 'name: c\nfrom: scratch\nlayers: [{name: c, copy: {from: ctx, to: /}}]\n' >c.yaml
printf 'name: both\nfrom: base.yaml\nlayers: [{name: c, steps: [{copy: {from: ctx, to: /}}, {run: "true"}]}]\n' >both.yaml
printf 'name: s\nfrom: base.yaml\nlayers: [{name: s, run: "true"}]\n' >s.yaml
step() { printf 'name: t\nfrom: base.yaml\nlayers: [{name: l, run: "%s"}]\n' "$1" >t.yaml; }
on() { # OPTIONS: a new small disk
	umount small 2>/dev/null || :
	mount -t tmpfs -o "mode=755,$1" tmpfs small
}
full() { # NAME COMMAND…
	check_fails "$@"
	check_said "the disk is full: $T/small, where tmpfs is mounted, has .* inodes left of "
	check_said 'hint: free some space, run `sbuild prune`, or take another store'
}
"$SBUILD" build c.yaml >/dev/null 2>&1
"$SBUILD" build s.yaml >/dev/null 2>&1

on size=20m
full "a copy layer" 1 "$SBUILD" build c.yaml --store small/s
check_equal "nothing is left of it" "" "$(find small/s/sbuild/tmp small/s/blobs -type f)"
full "a copy in a root" 1 "$SBUILD" build both.yaml --store small/s
full "a layer that is imported" 1 "$SBUILD" tag "oci:$SBUILD_STORE:c:latest" c:v1 --store small/s
step 'head -c 100000000 /dev/zero >/x'
full "a step, whose program does not say why" 1 "$SBUILD" build t.yaml --store small/s
step 'head -c 100000000 /dev/zero >/x || rm /x; exit 3'
check_fails "one that makes room again is one that failed" 4 "$SBUILD" build t.yaml --store small/s
on size=100m
step 'echo No space left on device; exit 3'
check_fails "a program that says so, on a disk with room" 4 "$SBUILD" build t.yaml --store small/s
check_said 'hint: the disk of the store has room'
on size=100m,nr_inodes=900
step 'i=0; while [ $i -lt 2000 ]; do : >/f$i; i=$((i+1)); done'
full "a step, without inodes" 1 "$SBUILD" build t.yaml --store small/s
check_said 'and [0-9] inodes left'
check_equal "and all are free again" "" "$(find small/s/sbuild/tmp -mindepth 1)"
on size=30m,nr_inodes=60
full "a tree, without inodes" 1 "$SBUILD" build s.yaml --store small/s

# What goes elsewhere.
on size=1m
check_fails "an export" 1 "$SBUILD" export c:latest -o small/x.tar
check_said 'writing small/x.tar: No space left on device'
check_fails "an archive" 1 "$SBUILD" export c:latest --format oci-archive -o small/y.tar
check_equal "nothing is left of them" "" "$(ls -A small)"
on size=4k
head -c 8192 /dev/zero >small/z 2>/dev/null || :
check_fails "metadata" 1 "$SBUILD" build s.yaml --metadata-file small/m.json
check_said 'm.json: No space left on device'
check_fails "standard output" 1 sh -c '"$SBUILD" images >/dev/full'
check "standard error doesn't matter" sh -c '"$SBUILD" build s.yaml --no-cache 2>/dev/full'

# A store whose disk is full.
on size=60m
"$SBUILD" build s.yaml --store small/s >/dev/null 2>&1
head -c 100000000 /dev/zero >small/fill 2>/dev/null || :
check "a build with nothing to do" "$SBUILD" build s.yaml --store small/s
check "a list" "$SBUILD" images --store small/s
full "a tag" 1 "$SBUILD" tag s:latest s:v2 --store small/s
check "prune" "$SBUILD" prune --max-size 1M --store small/s
on size=60m,nr_inodes=1200
"$SBUILD" build s.yaml --store small/s >/dev/null 2>&1
python3 -c 'import itertools
for i in itertools.count(): open("small/f%d" % i, "w").close()' 2>/dev/null || :
check "a build with nothing to do, without inodes" "$SBUILD" build s.yaml --store small/s
check "prune" "$SBUILD" prune --max-size 1M --store small/s
check "has made room" test "$(find small/s | wc -l)" -lt 60
on size=60m
"$SBUILD" build s.yaml --store small/s >/dev/null 2>&1
mount -o remount,ro small
check_fails "a disk that is read-only" 1 "$SBUILD" build s.yaml --store small/s
check_said 'the store .*small/s: .*Read-only file system'
umount small

# Limits.
check_fails "files that may not be larger: a build" 1 sh -c 'ulimit -f 2000; exec "$SBUILD" build c.yaml --no-cache'
check_said 'File too large'
check_said 'ulimit -f'
check_fails "an export" 1 sh -c 'ulimit -f 2000; exec "$SBUILD" export c:latest -o x.tar'
check_said 'writing x.tar: File too large'

# Another file system.
if command -v mkfs.ext4 >/dev/null && truncate -s 100M quota.img && mkfs.ext4 -q -F quota.img && mkdir image && mount -o loop quota.img image 2>/dev/null; then
	full_disk() { "$SBUILD" build c.yaml --store image/s; }
	head -c 75000000 /dev/zero >image/fill
	check_fails "a disk of ext4" 1 full_disk
	check_said "the disk is full: $T/image, where /dev/loop[0-9]+ is mounted, has "
	umount image
else
	skip "no loop devices here"
fi
check_store "after all of this"
