#!/bin/sh
# What a service's root is made of on a node with a real systemd: as many layers as an image may have,
# the same layer twice, and a store whose path leaves no room for that.
. tests/e2e/node-service.lib
shell() { # NAME COMMAND: in the root of a service
	n nsenter -t "$(n systemctl show -P MainPID "$1")" -m -r /bin/busybox sh -c "$2"
}
links() { n ls /var/lib/sbuild/sbuild/l 2>/dev/null; }

# ---- 127 layers ----

PORT=$(free_port)
make_service tall "$PORT"
mkdir -p n
layers=
for i in $(seq 125); do
	echo "$i" >"n/$i"
	layers="$layers {name: l$i, copy: {from: n/$i, to: /n/}},"
done
sed -i "s|^layers: \[|&$layers |" tall.yaml
check "an image of 127 layers" release tall 1.0.0
boot_node one
check_fails "a store whose path is too long for them" 1 \
	n sbuild install "$REPOSITORY/tall:v1.0.0" --store /var/lib/a-path-that-is-longer-than-the-one-where-it-is
said 'tall has 127 layers: below /var/lib/a-path-that-is-longer-than-the-one-where-it-is their names take [0-9]* bytes, and 4022 fit'
check_equal "nothing was touched" "" \
	"$(n sh -c 'ls /etc/systemd/system | grep tall; ls /var/lib/a-path*/sbuild/services /var/lib/a-path*/sbuild/trees 2>/dev/null | grep -v : || :')"
check "in the usual one" n sbuild install "$REPOSITORY/tall:v1.0.0"
check_equal "it serves" 1.0.0 "$(ask "$PORT")"
check_equal "its root has all layers" "125 7875" "$(shell tall 'echo $(ls /n | wc -l) $(cat /n/* | awk "{ s += \$1 } END { print s }")')"
check_equal "each has one short name" 127 "$(links | grep -cE '^.{4,5}$')"
release tall 1.1.0 >/dev/null 2>err
check "another release" n sbuild install "$REPOSITORY/tall:v1.1.0"
check_equal "shares their names" 128 "$(links | wc -l)"
check "and back" n sbuild rollback tall
check_equal "the one before" 1.0.0 "$(ask "$PORT")"
kill_node one
boot_node one
check_equal "also after a reboot" 1.0.0 "$(served "$PORT")"
check "uninstall" n sbuild uninstall tall
check "prune" n sbuild prune
check_equal "their names go with them" "" "$(links)"

# ---- units, as systemd-analyze sees them ----

PORT=$(free_port)
make_service seen "$PORT" 'gpu: 1' 'directories: {state: /data}'
mkdir -p seen/bin
cp rootfs/bin/busybox seen/bin/
sed -i 's|/bin/busybox, httpd|/app/bin/busybox, httpd|' seen.yaml
release seen 1.0.0 >/dev/null 2>err
check "install" n sbuild install "$REPOSITORY/seen:v1.0.0"
verify() { # as docs/operations.md tells
	n sh -c "mount -t overlay overlay -o ro,lowerdir=/run/sbuild/seen/1:/ /mnt &&
		systemd-analyze verify --root=/mnt seen.service 'run-sbuild-seen-1.mount'; code=\$?; umount /mnt; exit \$code"
}
if [ "$(n systemd-analyze --version | sed -nE '1s/systemd ([0-9]+).*/\1/p')" -ge 250 ]; then
	check "systemd-analyze verify finds nothing" verify
	check_equal "and says nothing" "" "$(cat .check)"
	n sh -c 'mkdir /etc/systemd/system/seen.service.d && printf "[Service]\nExecStartPre=/not/there\n" >/etc/systemd/system/seen.service.d/wrong.conf'
	check_fails "it finds what is wrong in a drop-in" 1 verify
	n rm -r /etc/systemd/system/seen.service.d
else
	skip "systemd-analyze verify --root needs systemd 250"
fi
n systemd-analyze security seen.service >security 2>&1 || :
check "$(tail -n 1 security)" grep -qE 'level for .*: [0-2]\.[0-9] (OK|SAFE|PERFECT)' security
n sbuild uninstall seen >/dev/null 2>&1

# ---- what an image may write to ----

PORT=$(free_port)
make_service data "$PORT" 'type: service'
mkdir -p data/db
echo first >data/db/content
sed -i 's|^image:|image:\n  volumes: [/app/db, /srv/new, /tmp/kept, /run/data]|' data.yaml
release data 1.0.0 >/dev/null 2>err
check "an image with volumes" n sbuild install "$REPOSITORY/data:v1.0.0"
as_user() { # COMMAND: as the service does it
	n nsenter -t "$(n systemctl show -P MainPID data)" -m -r -S "$id" -G "$id" /bin/busybox sh -c "$1"
}
id=$(n cat /etc/sbuild/ids/data)
check_equal "has what was there, and is its user's" "first $id" "$(as_user 'cat /app/db/content; /bin/busybox stat -c %u /app/db' | paste -sd' ')"
check "it may write to all" as_user 'for d in /app/db /srv/new /tmp/kept /run/data; do echo more >>$d/content || exit 1; done'
check_fails "and to nothing else" 1 as_user 'echo x >/app/x'
check_fails "of which nothing is in its reach on the host" 1 as_user 'ls /var/lib/sbuild-volumes'
echo second >data/db/content
release data 1.1.0 >/dev/null 2>err
check "the next release" n sbuild install "$REPOSITORY/data:v1.1.0"
check_equal "finds what was written" "first more" "$(as_user 'cat /app/db/content' | paste -sd' ')"
check "and so does the one before" n sbuild rollback data
check_equal "likewise" "first more" "$(as_user 'cat /app/db/content' | paste -sd' ')"
check "uninstall" n sbuild uninstall data
check_equal "leaves it" "first more" "$(n cat /var/lib/sbuild-volumes/data/app~db/content | paste -sd' ')"

# ---- the same layer twice ----

n sbuild prune >/dev/null 2>&1
PORT=$(free_port)
make_service twice "$PORT"
sed -i 's|^layers: \[|&{name: one, copy: {from: n/1, to: /n/}}, {name: two, copy: {from: n/2, to: /n/}},\n  {name: again, copy: {from: n/1, to: /n/}}, {name: seen, run: "cat /n/* >/seen"}, |' twice.yaml
check "an image that has a layer twice" release twice 1.0.0
check "install" n sbuild install "$REPOSITORY/twice:v1.0.0"
check_equal "it serves" 1.0.0 "$(ask "$PORT")"
check_equal "one name for both" 5 "$(links | wc -l)"
check_equal "a step and the service see it" "1 2 1 2" "$(shell twice 'echo $(cat /seen /n/*)')"
