# Sourced by each tests/faults/*.sh: what real use met, each with its smallest input. It is all of
# tests/e2e/lib.sh (check, check_equal, check_fails, settings, $T, $SBUILD), and
#
#   bb              makes the image bb of the store: static busybox, its applets symlinks in /bin;
#                   bb.yaml is its recipe, for `from:`
#   um              the same with /bin -> usr/bin, /lib -> usr/lib, /var/run -> /run; um.yaml
#   build NAME [OPTION…]    sbuild build NAME.yaml, its output in $T/NAME.out; quiet when it succeeds
#   tree IMAGE DIR  what `sbuild export` says the image holds, unpacked in DIR
# For services on a node, source "$TOP/tests/faults/service.lib" next.
. tests/e2e/lib.sh
NAME=faults/$NAME

bb() {
	busybox_root rootfs-bb
	printf 'name: bb\nfrom: scratch\nlayers: [{name: busybox, copy: {from: rootfs-bb, to: /}}]\n' >bb.yaml
	build bb
}

um() {
	busybox_root rootfs-um
	mkdir -p rootfs-um/usr/lib rootfs-um/run rootfs-um/var
	mv rootfs-um/bin rootfs-um/usr/bin
	ln -s usr/bin rootfs-um/bin
	ln -s usr/lib rootfs-um/lib
	ln -s /run rootfs-um/var/run
	echo liba >rootfs-um/usr/lib/liba.so
	printf 'name: um\nfrom: scratch\nlayers: [{name: busybox, copy: {from: rootfs-um, to: /}}]\n' >um.yaml
	build um
}

build() { # NAME [OPTION…]
	build_name=$1
	shift
	"$SBUILD" build "$build_name.yaml" "$@" >"$T/$build_name.out" 2>&1 || {
		build_status=$?
		tail -n 30 "$T/$build_name.out"
		return $build_status
	}
}

tree() { # IMAGE DIR
	mkdir -p "$2"
	"$SBUILD" export "$1" --format rootfs -o - | tar -C "$2" -xf -
}
