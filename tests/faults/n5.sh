# GPUs that come after a service was installed, or was started.
. tests/faults/lib.sh
. "$TOP/tests/e2e/node.lib"
. "$TOP/tests/e2e/node-service.lib"
boot_node one
n mknod -m 666 /dev/nvidiactl c 195 255 || skip_all "no device nodes can be made here"
make_service gpu "$(free_port)" 'gpu: 1'
release gpu 1.0.0 >/dev/null 2>err || cat err
n sbuild install "$REPOSITORY/gpu:v1" >/dev/null 2>err || cat err
check "status tells of one that is missing" n sh -c 'sbuild status gpu | grep -q "not there"'
n mknod -m 666 /dev/nvidia0 c 195 0
n sbuild install "$REPOSITORY/gpu:v1" >/dev/null 2>err || cat err
check_equal "one that came is given to it" "[0]" "$(n sbuild status gpu --json | jq -c '.services[0].gpus')"
check "and is open to it under its number, when it goes and comes" n sh -c 'systemctl show -P DeviceAllow gpu | grep -q 195:0'
