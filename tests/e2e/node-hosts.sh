#!/bin/sh
# Hosts on which something is missing or is otherwise: no overlayfs, containers that may not mount, SELinux,
# a read-only /etc, no systemd or an old one. A clear message and nothing touched, or it works.
. tests/e2e/node-service.lib
need setfattr
boot_node one
root=$(node_root one)
bundle() { # NAME LINE…
	name=$1
	shift
	cat >"$name.yaml" <<-END
		name: $name
		version: 1.0.0
		from: base.yaml
		layers: [{name: app, copy: {from: rootfs/etc, to: /app}}]
		tags: [semver]
		image: {user: "1234:1234", workdir: /app, entrypoint: [/bin/sh, -c, "while :; do sleep 1; done"]}
		service:
		  stop_timeout: 2s
	END
	for line; do echo "  $line" >>"$name.yaml"; done
	"$SBUILD" bundle "$name.yaml" -o "$root/root/$name.tar" >out 2>&1 || cat out
}
bundle layers 'health: {command: "true", timeout: 5s, steady: 0s}'
bundle light 'root: host' 'health: {command: "test -e group", timeout: 5s, steady: 0s}'

state() { n sh -c 'find /etc /opt /var/lib/sbuild/sbuild/services /run/sbuild 2>/dev/null' | sort; }
refused() { # WHAT MESSAGE COMMAND…
	what=$1 message=$2
	shift 2
	state >before
	check_fails "$what" 1 "$@"
	cp .check said
	check "$what: it says $message" sh -c 'grep -q -- "$1" said || { cat said && false; }' sh "$message"
	state >after
	check "$what: nothing is touched" diff before after
}

# ---- overlayfs ----

# The kernel's own answers, to sbuild and all that it starts.
without() { # ERROR COMMAND…
	error=$1
	shift
	n systemd-run -q --wait --pipe -p SystemCallFilter=~fsopen:"$error" -p Environment=PATH=/opt/sbuild:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
n mkdir -p /var/lib/sbuild/sbuild/services
refused "a kernel without overlayfs" 'this kernel has no overlayfs' without ENODEV sbuild install /root/layers.tar
check "the hint names a way" grep -q 'modprobe overlay.*root: host' said
refused "a container that may not mount" 'root may not mount overlayfs here' without EPERM sbuild install /root/layers.tar
refused "root without its rights" 'root may not mount overlayfs here' n setpriv --bounding-set=-sys_admin sbuild install /root/layers.tar
check "root: host works without overlayfs" without ENODEV sbuild install /root/light.tar
check "it runs" n systemctl is-active -q light
check "a kernel that has no such call is asked by mounting" without ENOSYS sbuild install /root/layers.tar
check "it goes" n sbuild uninstall layers
check "the light one goes" n sbuild uninstall light

# ---- SELinux ----

# What sbuild sees of it. This kernel doesn't have it: what it does with the label can't be tried here.
label=system_u:object_r:bin_t:s0
n sh -c 'mount -t tmpfs tmpfs /mnt && mkdir -p /mnt/fs/selinux /mnt/fs/cgroup && echo 1 >/mnt/fs/selinux/enforce &&
	mount --rbind /sys/fs/cgroup /mnt/fs/cgroup && mount --make-rprivate /mnt/fs/cgroup && mount --rbind /mnt/fs /sys/fs' 2>err || skip_all "nothing can be mounted over /sys/fs"
if setfattr -n security.selinux -v "$label" "$root/usr/bin/env" 2>err; then
	n sbuild install /root/layers.tar >out 2>&1 || :
	n cat /etc/systemd/system/run-sbuild-layers-1.mount >mount 2>/dev/null || :
	check "the root gets the label of the host's programs" grep -q "^Options=ro,nodev,nosuid,metacopy=on,context=$label,lowerdir=" mount
	n sbuild uninstall layers >/dev/null 2>&1 || :
else
	skip "files can't be labelled here"
fi
n umount -R -l /sys/fs

# ---- what else may be missing ----

n mount --bind /etc/systemd/system /etc/systemd/system
n mount -o remount,bind,ro /etc/systemd/system
refused "a read-only /etc" "unit files can't be written" n sbuild install /root/layers.tar
n umount /etc/systemd/system
mkdir -p "$root/root/old"
printf '#!/bin/sh\ncase $* in *--version*) echo "systemd 245 (245.4-4ubuntu3)" ;; *) exec /usr/bin/systemctl "$@" ;; esac\n' >"$root/root/old/systemctl"
chmod +x "$root/root/old/systemctl"
refused "a systemd that is too old" 'has systemd 245, and 247 is the oldest' \
	n env PATH=/root/old:/opt/sbuild:/usr/bin:/bin sbuild install /root/layers.tar
n mount -t tmpfs tmpfs /run/systemd
refused "no systemd" 'systemd does not run' n sbuild install /root/layers.tar
n umount /run/systemd
check "with all of it" n sbuild install /root/layers.tar
