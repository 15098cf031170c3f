# A Debian image on a host that has its driver in /usr/lib64: the loader finds it, and ldconfig lists it.
. tests/faults/lib.sh
. "$TOP/tests/e2e/node.lib"
. "$TOP/tests/e2e/node-service.lib"
. "$TOP/tests/e2e/driver.lib"
make_driver 550.54.15 driver nvidia-gpucomp:550.54.15
boot_node one
n mknod -m 666 /dev/nvidiactl c 1 3 || skip_all "no device nodes can be made here"
n mknod -m 666 /dev/nvidia0 c 1 3
give_driver driver /usr/lib64
glibc_root debian "usr/lib/$MULTIARCH"
sed -i 's/from: rootfs,/from: debian,/' base.yaml
make_service gpu "$(free_port)" 'gpu: 1'
release gpu 1.0.0 >/dev/null 2>err || cat err
check "it is installed" n sbuild install "$REPOSITORY/gpu:v1"
root=/proc/$(n systemctl show -P MainPID gpu)/root
check_equal "libcuda.so.1 is found" 550.54.15 "$(n chroot "$root" /bin/cuda)"
for name in libcuda.so.1 libnvcuvid.so.1 libnvoptix.so.1 libcudadebugger.so.1 libnvidia-gpucomp.so.550.54.15; do
	check "ldconfig lists $name" n chroot "$root" /bin/sh -c "/sbin/ldconfig -p | grep -q '$name'"
done
