#!/bin/sh
# The driver of GPUs that a host has, in services' roots: which of its files, where, how they are found; after the
# host exchanged it, of each generation, that is gone back to as well.
. tests/e2e/node-service.lib
. "$TOP/tests/e2e/driver.lib"
make_driver 535.104.05 old
make_driver 550.54.15 new nvidia-gpucomp:550.54.15
boot_node one
n mknod -m 666 /dev/nvidiactl c 1 3 || skip_all "no device nodes can be made here"
n mknod -m 666 /dev/nvidia0 c 1 3
HOSTS=/usr/lib/$MULTIARCH
n mkdir -p /lib/firmware/nvidia/535.104.05 /usr/share/nvidia /etc/OpenCL/vendors
n sh -c 'echo gsp >/lib/firmware/nvidia/535.104.05/gsp_tu10x.bin; echo smi >/usr/bin/nvidia-smi; chmod 755 /usr/bin/nvidia-smi
	echo libnvidia-opencl.so.1 >/etc/OpenCL/vendors/nvidia.icd'
give_driver old "$HOSTS"

gpu_service() { # NAME ROOT
	printf 'name: base-%s\nfrom: scratch\nlayers: [{name: root, copy: {from: %s, to: /}}]\n' "$1" "$2" >"base-$1.yaml"
	make_service "$1" "$(free_port)" 'gpu: {count: 1, shared: true}'
	sed -i "s/^from: base.yaml/from: base-$1.yaml/" "$1.yaml"
}
inside() { # NAME COMMAND…
	inside_pid=$(n systemctl show -P MainPID "$1")
	shift
	n chroot "/proc/$inside_pid/root" "$@"
}
cuda() { inside "$1" /bin/cuda 2>&1; }
cached() { # NAME LIBRARY: where ldconfig says that it is
	inside "$1" /sbin/ldconfig -p | sed -n "s|^\t$2 (.*) => ||p" | head -n 1
}
libraries() { inside "$1" /bin/sh -c "cd $2 && ls | grep -E '^lib(cuda|nv)' | tr '\n' ' ' || :"; }

# ---- a Debian-like image, and one whose libraries are elsewhere ----

glibc_root debian "usr/lib/$MULTIARCH"
glibc_root fedora usr/lib64
gpu_service debian debian
gpu_service fedora fedora
for service in debian fedora; do release $service 1.0.0 >/dev/null 2>err || cat err; done
check "an image with Debian's directories" n sbuild install "$REPOSITORY/debian:v1"
check_equal "loads the driver" 535.104.05 "$(cuda debian)"
check_equal "ldconfig knows of it" "/usr/lib/$MULTIARCH/libcuda.so.1" "$(cached debian 'libcuda\.so\.1')"
check_equal "and under its bare name" 535.104.05 "$(inside debian /bin/cuda libcuda.so)"
for name in libnvidia-ml.so.1 libnvcuvid.so.1 libcudadebugger.so.1 libnvoptix.so.1 libnvidia-nvvm.so.4 libnvidia-rtcore.so.535.104.05 libc.so.6; do
	check "the list has $name" inside debian /bin/sh -c "/sbin/ldconfig -p | grep -q '$name'"
done
check "with its program" inside debian /bin/grep -q smi /usr/bin/nvidia-smi
check "its firmware" inside debian /bin/grep -q gsp /lib/firmware/nvidia/535.104.05/gsp_tu10x.bin
check "what tells OpenCL of it" inside debian /bin/grep -q libnvidia-opencl /etc/OpenCL/vendors/nvidia.icd
check "VDPAU's part" inside debian /bin/ls "/usr/lib/$MULTIARCH/vdpau/libvdpau_nvidia.so.1"
check_equal "nothing is mounted for it" "" "$(n sh -c "grep -E 'libcuda|nvidia-smi' /proc/$(n systemctl show -P MainPID debian)/mountinfo" || :)"
check "one with /usr/lib64" n sbuild install "$REPOSITORY/fedora:v1"
check_equal "has it there" /usr/lib64/libcuda.so.1 "$(cached fedora 'libcuda\.so\.1')"
check_equal "and loads it" 535.104.05 "$(cuda fedora)"

# What an image has of CUDA's compat libraries comes before the driver, as it says so; its own driver does not.
cp -a debian compat
mkdir -p compat/usr/local/cuda/compat
library compat/usr/local/cuda/compat/libcuda.so.999.1 libcuda.so.1 compat
library "compat/usr/lib/$MULTIARCH/libnvcuvid.so.470.1" libnvcuvid.so.1 470.1
ln -s libcuda.so.999.1 compat/usr/local/cuda/compat/libcuda.so.1
ln -s libnvcuvid.so.470.1 "compat/usr/lib/$MULTIARCH/libnvcuvid.so.1"
echo /usr/local/cuda/compat >compat/etc/ld.so.conf
gpu_service compat compat
release compat 1.0.0 >/dev/null 2>err || cat err
check "an image with compat libraries" n sbuild install "$REPOSITORY/compat:v1"
check_equal "loads these" compat "$(cuda compat)"
check_equal "but not a driver of its own" 535.104.05 "$(inside compat /bin/cuda libnvcuvid.so.1)"
n sbuild uninstall compat >/dev/null 2>&1

# Whose configuration of the loader would take for ever to read: it gets the driver without.
cp -a debian endless
mkdir -p endless/etc/ld.so.conf.d
for i in 1 2 3 4 5 6 7 8; do echo 'include /etc/ld.so.conf.d/*.conf' >endless/etc/ld.so.conf.d/$i.conf; done
cp endless/etc/ld.so.conf.d/1.conf endless/etc/ld.so.conf
gpu_service endless endless
release endless 1.0.0 >/dev/null 2>err || cat err
check "an image that keeps ldconfig busy" n sbuild install "$REPOSITORY/endless:v1"
said 'its list of libraries is without the driver'
check_equal "finds the driver" 535.104.05 "$(cuda endless)"
n sbuild uninstall endless >/dev/null 2>&1

# ---- the host gets another driver ----

release debian 1.1.0 >/dev/null 2>err || cat err
check "another generation" n sbuild install "$REPOSITORY/debian:v1.1.0"
give_driver new "$HOSTS"
check "a restart" n systemctl restart debian
check_equal "brings the new driver" 550.54.15 "$(served "$(sed -n 's/^  port: //p' debian.yaml)" >/dev/null; cuda debian)"
check "with a library that the old one had not" inside debian /bin/sh -c "/sbin/ldconfig -p | grep -q libnvidia-gpucomp.so.550.54.15"
check_equal "and none of the old" "" "$(libraries debian "/usr/lib/$MULTIARCH" | tr ' ' '\n' | grep 535 || :)"
check "back to a generation that was made with the old driver" n sbuild rollback debian
check_equal "it has the new one" "1 550.54.15" "$(n sbuild status debian --json | jq .services[0].generation) $(cuda debian)"
check "and forwards" n sbuild rollback debian 2
check_equal "it has the new one" 550.54.15 "$(cuda debian)"
release debian 1.2.0 broken >/dev/null 2>err || cat err
check_fails "a release that is broken" 7 n sbuild install "$REPOSITORY/debian:v1.2.0"
check_equal "is undone" "2 550.54.15" "$(n sbuild status debian --json | jq .services[0].generation) $(cuda debian)"
check "installing what runs with the old driver" n sbuild install "$REPOSITORY/fedora:v1"
check_equal "starts it with the new" "2 550.54.15" "$(n sbuild status fedora --json | jq .services[0].generation) $(cuda fedora)"
check "again" n sbuild install "$REPOSITORY/fedora:v1"
check_equal "does nothing" 2 "$(n sbuild status fedora --json | jq .services[0].generation)"

# ---- at boot, with another one still, elsewhere; and without one ----

take_driver "$HOSTS"
give_driver old /usr/lib64
kill_node one
boot_node one
n mknod -m 666 /dev/nvidia0 c 1 3 2>/dev/null || :
check "after a boot it serves" wait_for 30 ask "$(sed -n 's/^  port: //p' debian.yaml)"
check_equal "with what the host has now, wherever it has it" "535.104.05 535.104.05" "$(cuda debian) $(cuda fedora)"
take_driver /usr/lib64
check "without a driver it starts as well" n systemctl restart debian
check_fails "and has none" 1 inside debian /bin/cuda
check_equal "nor any trace of it" "" "$(libraries debian "/usr/lib/$MULTIARCH")"

# ---- two at once, as while packages are exchanged: the kernel's module says which ----

give_driver new "$HOSTS"
cp -r old/* "$(node_root one)$HOSTS/"
n sh -c 'mount -t tmpfs x /proc/driver && mkdir /proc/driver/nvidia && echo "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19" >/proc/driver/nvidia/version'
check "with two versions" n systemctl restart debian
check_equal "it is that of the module" 535.104.05 "$(cuda debian)"

# ---- what is left ----

check "the services go" n sh -c 'sbuild uninstall debian && sbuild uninstall fedora'
check_equal "and with them what was copied" "" "$(n sh -c 'ls /var/lib/sbuild/sbuild/driver /etc/systemd/system | grep -E "^[0-9a-f]{64}|sbuild-driver" || :')"
