#!/bin/sh
# A service's life on a node with a real systemd: install, upgrade, a release that fails, rollback,
# reboot, two operators, ten services on one layer, hostile bundles, uninstall, prune.
. tests/e2e/node-service.lib
PORT=$(free_port)
make_service web "$PORT"
web=$REPOSITORY/web
generation() { n sbuild status web --json | jq -r '.services[0].generation'; }
state_of() { n sbuild status web --json | jq -r ".services[0].generations[] | select(.generation == $1) | .state"; }
mounts() { n sh -c 'grep -c " /run/sbuild/" /proc/self/mountinfo || :'; }
leftovers() { # what no service, current or not, has a use for
	n sh -c 'ls -A /etc/systemd/system | grep -E "^\.|green" || :; ls -A /var/lib/sbuild/sbuild/services/* 2>/dev/null | grep -E "operation|^\.tmp" || :
		ls /etc/systemd/system | grep -c "run-sbuild.*mount" || :'
}

# ---- install ----

release web 1.0.0 >/dev/null 2>err
boot_node one
check "install" n sbuild install "$web:v1.0.0"
check_equal "it serves" 1.0.0 "$(ask "$PORT")"
check_equal "generation 1" 1 "$(generation)"
pid=$(n systemctl show -P MainPID web)
id=$(n cat /etc/sbuild/ids/web)
check_equal "it runs as a user of its own" "$id" "$(n stat -c %u "/proc/$pid")"
check "whose number is from a range that is nobody's" test "$id" -ge 1879048192 -a "$id" -le 2147352575
check "it is not its host's root" n sh -c "! nsenter -t $pid -m -r test -e /usr/bin/systemctl"
check "it starts at boot" n systemctl is-enabled -q web
check_equal "what it did leaves nothing but the mount" 1 "$(leftovers)"
before=$(n systemctl show -P MainPID web)
check "the same again" n sbuild install "$web:v1.0.0"
check_equal "does nothing" "$before" "$(n systemctl show -P MainPID web)"
check "by digest" n sbuild install "$web@$(n sbuild status web --json | jq -r '.services[0].bundle')"
check_equal "does nothing either" "1 $before" "$(generation) $(n systemctl show -P MainPID web)"
check_equal "status tells the image" "$(jq -r --arg n "web:v1.0.0" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $n) | .digest' "$SBUILD_STORE/index.json")" \
	"$(n sbuild status web --json | jq -r '.services[0].image')"

# ---- upgrade, and how long nobody answers ----

release web 1.1.0 >/dev/null 2>err
sent=$(registry_sent main)
own_gap web "$PORT"
watch "$PORT"
check "upgrade" n sbuild install "$web:v1.1.0"
watched
check_equal "old, then new" "1.0.0 1.1.0" "$(cut -d' ' -f2- watched)"
fetched=$(($(registry_sent main) - sent)) took=
check_quick "the upgrade" web 1 2 "$PORT"
check "less than 64 KB are fetched ($fetched)" test "$fetched" -lt 65536
check_equal "one root is mounted" 1 "$(mounts)"

# ---- one that fails ----

release web 1.2.0 broken >/dev/null 2>err
watch "$PORT"
check_fails "a release that is not healthy" 7 n sbuild install "$web:v1.2.0"
said 'health answers 404'
watched
check_equal "the one before serves again" "1.1.0" "$(cut -d' ' -f2- watched | awk '{ print $NF }')"
check_equal "it is the current one" 2 "$(generation)"
check_equal "the failure is recorded" failed "$(state_of 3)"
check "with what it said" n sh -c 'sbuild status web | grep -q "generation 3 failed" && sbuild status web | grep -q "systemd.*web.service"'
check_equal "nothing else is left" 1 "$(leftovers)"
check_equal "one root is mounted" 1 "$(mounts)"
check_fails "again, the same" 7 n sbuild install "$web:v1.2.0"

# ---- rollback ----

own_gap web "$PORT"
watch "$PORT"
check "rollback" n sbuild rollback web
watched
check_equal "new, then old" "1.1.0 1.0.0" "$(cut -d' ' -f2- watched)"
n sbuild rollback web 2 >out 2>&1 || cat out
rollback_gap web 1 "$PORT"
check_quick "the rollback" web 2 1 "$PORT"
check "to a generation by its number" n sbuild rollback web 2
check_equal "2" "2 1.1.0" "$(generation) $(ask "$PORT")"
check_fails "not to one that failed" 1 n sbuild rollback web 3
check_fails "nor to one that is not there" 1 n sbuild rollback web 99

# ---- reboot ----

kill_node one
boot_node one
check_equal "after a reboot the same generation runs" "2 1.1.0" "$(generation) $(served "$PORT")"
check_equal "one root is mounted" 1 "$(mounts)"

# ---- two operators ----

release web 1.3.0 >/dev/null 2>err
release web 1.4.0 >/dev/null 2>err
# Until both have been at work at the same time.
status=0
for _ in 1 2 3 4 5; do
	n sbuild install "$web:v1.3.0" >one.out 2>&1 &
	first=$!
	n sbuild install "$web:v1.4.0" >two.out 2>&1 &
	second=$!
	for job in $first $second; do wait $job || status=$?; done
	! grep -q 'another sbuild is at work' one.out two.out || break
done
check_equal "two operators at once both succeed" 0 "$status"
check "one of two operators waits, and says so" grep -q 'another sbuild is at work on web' one.out two.out
case $(ask "$PORT") in 1.3.0 | 1.4.0) good=yes ;; *) good=no ;; esac
check_equal "either is there, whole" yes "$good"

# ---- many services on one layer ----

one=$(n sbuild status --json | jq .disk.bytes)
for i in 1 2 3 4 5 6 7 8 9; do
	make_service "web$i" "$(free_port)"
	release "web$i" 1.0.0 >/dev/null 2>err
	n sbuild install "$REPOSITORY/web$i:v1.0.0" >out 2>&1 || cat out
done
n sbuild status --json >status.json
check_equal "ten services are healthy" 10 "$(jq '[.services[] | select(.health == "healthy")] | length' status.json)"
check "the shared layer is on the disk once ($one, then $(jq .disk.bytes status.json) bytes)" \
	test "$(jq .disk.bytes status.json)" -lt $((one + 9 * 65536))
check_equal "its tree is there once" 1 "$(find "$T/node-one/store/sbuild/trees" -path '*/fs/bin/busybox' | wc -l)"

# ---- uninstall, prune ----

for i in 1 2 3 4 5 6 7 8 9; do n sbuild uninstall "web$i" >out 2>&1 || cat out; done
check_equal "what was uninstalled is gone" "1 web" "$(leftovers) $(n sbuild status --json | jq -r '.services[].name')"
n sbuild rollback web 1 >/dev/null 2>&1
check "prune" n sbuild prune
check_equal "keeps the last three, the failure's record, and the one that runs" "1 2 4 5 6" \
	"$(n sbuild status web --json | jq -r '[.services[0].generations[].generation] | join(" ")' | sed 's/ 3 / /')"
check_equal "which still serves" 1.0.0 "$(ask "$PORT")"
kill_node one
boot_node one
check_equal "also after a reboot" 1.0.0 "$(served "$PORT")"
check "uninstall" n sbuild uninstall web
check_equal "nothing is left" "0" "$(leftovers)"
check_equal "nothing is mounted" 0 "$(mounts)"
check_fails "nobody answers" 7 ask "$PORT"
check_fails "it isn't known any more" 1 n sbuild rollback web
check "prune takes the layers" n sbuild prune
check_equal "no tree is left" "" "$(ls "$T/node-one/store/sbuild/trees")"

# ---- from a file ----

"$SBUILD" bundle web.yaml --version 1.4.0 -o "$(node_root one)/root/web.tar" >/dev/null 2>&1
check "install from a file, under another name" n sbuild install /root/web.tar --name other --wait=20s
check_equal "it serves" 1.4.0 "$(ask "$PORT")"
check "its unit has that name" n systemctl is-active -q other

# ---- what is refused ----

check_fails "a port that another service has" 1 n sbuild install "$web:v1.3.0"
said "port $PORT of web is the port of the service other"
check_fails "the name of a unit of the system" 1 n sbuild install "$web:v1.3.0" --name dbus
said 'dbus.service is a unit of this machine'
check "it is left alone" n systemctl is-active -q dbus
check_fails "a name that leads elsewhere" 2 n sbuild install "$web:v1.3.0" --name ../../x
check_fails "an image without a bundle" 5 n sbuild install "$REPOSITORY/none:v1"
n sbuild uninstall other >/dev/null 2>&1
