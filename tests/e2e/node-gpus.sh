#!/bin/sh
# Which GPUs services of a node get: devices of their own, the same ones in the next release, others when
# those were given away; who is refused, who shares, and two who install at once. Stand-ins for devices.
. tests/e2e/node-service.lib
service() { # NAME GPU
	make_service "$1" "$(free_port)" "gpu: $2"
	release "$1" 1.0.0 >/dev/null 2>err || cat err
}
gpus() { n sbuild status "$1" --json | jq -c '.services[0].gpus'; }
may_use() { # NAME: what its unit lets it at
	n systemctl show -P DeviceAllow "$1" | grep -oE '/dev/nvidia[0-9]+' | sort | tr '\n' ' '
}
told() { n sh -c "tr '\\0' '\\n' </proc/$(n systemctl show -P MainPID "$1")/environ" | sed -n 's/^CUDA_VISIBLE_DEVICES=//p'; }

boot_node one
n mknod -m 666 /dev/nvidiactl c 1 3 || skip_all "no device nodes can be made here"
for i in 0 1 2; do n mknod -m 666 /dev/nvidia$i c 1 3; done
for name in one two; do service $name 1; done
service both '{count: 1, shared: true}'
service too '{count: 1, shared: true}'
service many 3
service named '[0, 2]'

# ---- one each ----

check "the first" n sbuild install "$REPOSITORY/one:v1"
check "and the second" n sbuild install "$REPOSITORY/two:v1"
check_equal "have a device each" "[0] [1]" "$(gpus one) $(gpus two)"
check_equal "and no other" "/dev/nvidia0 /dev/nvidia1 " "$(may_use one)$(may_use two)"
check_equal "which CUDA counts among those that they can open" "0 0" "$(told one) $(told two)"
check "status shows it" n sh -c 'sbuild status | grep -qE "^two .* healthy +1 "'
check_fails "three are not free" 1 n sbuild install "$REPOSITORY/many:v1"
said 'many needs 3 of the 3 GPUs of this node, and 1 is free: one has 0, two has 1'
check_equal "nothing was touched" "" "$(n sh -c 'ls /etc/systemd/system /var/lib/sbuild/sbuild/services | grep many' || :)"

# ---- sharing ----

check "one that shares" n sbuild install "$REPOSITORY/both:v1"
check "another" n sbuild install "$REPOSITORY/too:v1"
check_equal "have the same, as no other is free" "[2] [2]" "$(gpus both) $(gpus too)"
check "named devices are given, whoever has them" n sbuild install "$REPOSITORY/named:v1"
said 'named: one has GPU 0 as well'
check_equal "as they are named" "[0,2] /dev/nvidia0 /dev/nvidia2 0,1" "$(gpus named) $(may_use named)$(told named)"
for name in named both too; do n sbuild uninstall $name >/dev/null 2>&1; done

# ---- the next release, and back ----

n sbuild uninstall one >/dev/null 2>&1
release two 1.1.0 >/dev/null 2>err
check "the next release" n sbuild install "$REPOSITORY/two:v1.1.0"
check_equal "keeps the device, though a lower one is free" "[1]" "$(gpus two)"
sed -i 's/gpu: 1/gpu: [2]/' two.yaml
release two 1.2.0 >/dev/null 2>err
check "one that names another" n sbuild install "$REPOSITORY/two:v1.2.0"
sed -i 's/gpu: 1/gpu: 2/' one.yaml
release one 1.1.0 >/dev/null 2>err
check "those that are free are another's now" n sbuild install "$REPOSITORY/one:v1.1.0"
check_equal "both of them" "[0,1] [2]" "$(gpus one) $(gpus two)"
check "back" n sbuild rollback two
check_equal "to other devices" "[2] /dev/nvidia2 " "$(gpus two) $(may_use two)"
check "it serves" test "$(n sbuild status two --json | jq -r '.services[0].health')" = healthy
check "and back again" n sbuild rollback two 1
check_equal "likewise" "[2]" "$(gpus two)"

# ---- two at once ----

for name in one two; do n sbuild uninstall $name >/dev/null 2>&1; done
for i in 1 2 3; do service "at$i" 1; done
jobs=
for i in 1 2 3; do
	n sbuild install "$REPOSITORY/at$i:v1" >"$i.out" 2>&1 &
	jobs="$jobs $!"
done
# shellcheck disable=SC2086 # words are wanted
wait $jobs
check_equal "three at once have three devices" "[0] [1] [2]" "$(for i in 1 2 3; do gpus at$i; done | sort | paste -sd' ')"
for i in 1 2 3; do n sbuild uninstall "at$i" >/dev/null 2>&1; done

# ---- what the driver says ----

n sh -c 'mount -t tmpfs x /proc/driver && for i in 0 1 2; do mkdir -p /proc/driver/nvidia/gpus/$i &&
	printf "GPU UUID: \t GPU-0000000%d-d72c-4106-c12f-20bd9faed9f6\nDevice Minor: \t %d\n" $i $((2 - i)) >/proc/driver/nvidia/gpus/$i/information; done'
sed -i 's/gpu: 2/gpu: 1/' one.yaml
release one 1.2.0 >/dev/null 2>err
check "with a driver" n sbuild install "$REPOSITORY/one:v1.2.0"
check_equal "CUDA is told by UUID" "[0] GPU-00000002-d72c-4106-c12f-20bd9faed9f6" "$(gpus one) $(told one)"

# ---- none at all ----

n sh -c 'rm /dev/nvidia*; umount /proc/driver'
n sbuild uninstall one >/dev/null 2>&1
check "a node without GPUs" n sbuild install "$REPOSITORY/many:v1"
said 'many asks for 3 GPUs, and this node has 0'
check_equal "gives none" "[] " "$(gpus many) $(may_use many)"
