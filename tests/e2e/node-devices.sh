#!/bin/sh
# Devices of GPUs that come and go: before a service is installed, before and after it is started; which of them it
# may open then, and what status says of those that are not there.
. tests/e2e/node-service.lib
boot_node one
n mknod -m 666 /dev/nvidiactl c 195 255 || skip_all "no device nodes can be made here"
n rm /dev/nvidiactl
policy=yes
device_policy one || policy=
PORT=$(free_port)
make_service gpu "$PORT" 'gpu: 1'
mkdir -p gpu/cgi-bin
printf '#!/bin/sh\necho\nhead -c 1 "/dev/$QUERY_STRING" 2>&1 | sed "s/.*: //"\n' >gpu/cgi-bin/open
chmod +x gpu/cgi-bin/open
release gpu 1.0.0 >/dev/null 2>err || cat err
device() { n mknod -m 666 "/dev/$1" c 195 "$2"; }
# There is no such driver here: what may be opened is no device, what may not be is not permitted.
opens() { # WHAT DEVICE yes|no
	[ -n "$policy" ] || { skip "$1: no policies of devices here" && return 0; }
	[ "$3" = yes ] && expected='No such device or address' || expected='Operation not permitted'
	check_equal "$1" "$expected" "$(curl -s -m 5 "http://127.0.0.1:$PORT/cgi-bin/open?$2")"
}
fact() { n sbuild status gpu --json | jq -c ".services[0].$1"; }

# ---- installed before there are any ----

check "on a node that has no GPU yet" n sbuild install "$REPOSITORY/gpu:v1"
said 'gpu asks for 1 GPU, and this node has 0'
check_equal "status tells" 1 "$(fact gpus_missing)"
check "in words, too" n sh -c 'sbuild status gpu | grep -q "it asks for 1 GPU, and 1 of them is not there"'
check "again, it is left alone" n sbuild install "$REPOSITORY/gpu:v1"
check_equal "as there are none still" 1 "$(fact generation)"
device nvidiactl 255
device nvidia0 0
device nvidia1 1
check "now there are" n sbuild install "$REPOSITORY/gpu:v1"
check_equal "it gets one" "2 [0] null" "$(fact generation) $(fact gpus) $(fact gpus_missing)"
served "$PORT" >/dev/null
opens "which it may open" nvidia0 yes
opens "with what is for all" nvidiactl yes
opens "and not another's" nvidia1 no
check "again" n sbuild install "$REPOSITORY/gpu:v1"
check_equal "it is left alone" 2 "$(fact generation)"

# ---- made after it was started, as the driver does ----

n rm /dev/nvidia0 /dev/nvidiactl
check "without its device" n systemctl restart gpu
check_equal "status tells" 1 "$(fact gpus_missing)"
device nvidia0 0
device nvidiactl 255
served "$PORT" >/dev/null
opens "what is made later may be opened at once" nvidia0 yes
opens "that which is for all, too" nvidiactl yes
opens "and not another's" nvidia1 no
check_equal "status is content" null "$(fact gpus_missing)"

# ---- who makes them ----

n rm /dev/nvidia0
n sh -c 'printf "#!/bin/sh\nset -- \$*\n[ \$1 = -c ] && [ \$2 = 0 ] && mknod -m 666 /dev/nvidia0 c 195 0\n" >/usr/bin/nvidia-modprobe && chmod +x /usr/bin/nvidia-modprobe'
check "the driver's program makes them before a start" n systemctl restart gpu
check_equal "so it is there" null "$(fact gpus_missing)"
check_equal "and was in time" "After" "$(n systemctl show -p After gpu | grep -q nvidia-persistenced.service && echo After)"

# ---- the driver tells other GPUs ----

tell() { n sh -c 'mkdir -p /proc/driver/nvidia/gpus/0 && printf "GPU UUID: \t GPU-%s\nDevice Minor: \t 0\n" "$1" >/proc/driver/nvidia/gpus/0/information' sh "$1"; }
n mount -t tmpfs x /proc/driver
tell 00000000-d72c-4106-c12f-20bd9faed9f6
check "by number it stays as it is" n sbuild install "$REPOSITORY/gpu:v1"
check_equal "though the driver tells a name" 2 "$(fact generation)"
n sbuild uninstall gpu >/dev/null 2>&1
n sbuild install "$REPOSITORY/gpu:v1" >/dev/null 2>&1
tell 11111111-d72c-4106-c12f-20bd9faed9f6
check "with another GPU in the place of the first" n sbuild install "$REPOSITORY/gpu:v1"
check_equal "it is told of that one" "2 GPU-11111111-d72c-4106-c12f-20bd9faed9f6" \
	"$(fact generation) $(n sh -c "tr '\\0' '\\n' </proc/$(n systemctl show -P MainPID gpu)/environ" | sed -n 's/^CUDA_VISIBLE_DEVICES=//p')"

# ---- InfiniBand ----

make_service ib "$(free_port)" 'devices: infiniband'
release ib 1.0.0 >/dev/null 2>err || cat err
check "one that asks for InfiniBand" n sbuild install "$REPOSITORY/ib:v1"
check_equal "may use it, and nothing else" "/dev/infiniband/rdma_cm char-infiniband_verbs " \
	"$(n systemctl show -P DeviceAllow ib | grep -oE '(/dev/|char-)[^ ]*infiniband[^ ]*|/dev/infiniband[^ ]*' | sort -u | tr '\n' ' ')"
