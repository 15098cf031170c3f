#!/bin/sh
# The backend of recipes/backend.yaml as a service of a booted node: from a registry to a healthy
# answer, another release, one that fails, back again; its user, its devices, its units; ten services
# on its dependencies.
. tests/e2e/node.lib
. "$TOP/tests/e2e/peers.lib"
. "$TOP/tests/e2e/backend.lib"
need_backend

start_registry main
PORT=$(free_port)
REPOSITORY=$REGISTRY/team
cp -a "$TOP/recipes" recipes
sed -i -e "s|^image:|image:\n  repository: $REPOSITORY/backend|" -e 's/^tags:.*/tags: [semver]/' recipes/backend.yaml
cleanup() { stop_in_runc; }
release() { "$SBUILD" bundle "recipes/${2:-backend}.yaml" --push --set "VERSION=$1" --set "PORT=$PORT" --progress plain; }
health() { curl -sf -m 5 "http://127.0.0.1:$PORT/health"; }
version() { health | jq -r .version; }
status() { n sbuild status backend --json | jq -r ".services[0].$1"; }
versions() { grep -o '"version":"[^"]*' watched | cut -d'"' -f4 | tr '\n' ' '; } # as they came
milliseconds() { # of a command, as $took
	began=$(date +%s%N)
	"$@" >out 2>&1 || cat out
	took=$((($(date +%s%N) - began) / 1000000))
}
# ---- the first release ----

check "the backend is bundled and pushed" release 1.0.0
start_in_runc backend:v1.0.0 "$PORT"
boot_node one
n mknod -m 666 /dev/nvidia0 c 10 229 || skip "no device node can be made here"
n mknod -m 666 /dev/nvidiactl c 10 229 || :
n mknod -m 666 /dev/nvidia1 c 10 200 || :
n mknod -m 666 /dev/other c 10 200 || :
wait_for 60 health
health >container.json
stop_in_runc
milliseconds n sbuild install "$REPOSITORY/backend:v1.0.0" --wait=3m
note "from the registry to a healthy answer in $took ms"
check "it answers" sh -c 'curl -sS --fail -m 5 "$1" >health.json' sh "http://127.0.0.1:$PORT/health"
note "/health says $(cat health.json)"
image=$(jq -r '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == "backend:v1.0.0") | .digest' "$SBUILD_STORE/index.json")
check_equal "status tells the image" "$image" "$(status image)"
pid=$(n systemctl show -P MainPID backend)
check "torch and CUDA's runtime are there" jq -e '.version == "1.0.0" and (.torch | length > 3) and .cuda_runtime' health.json
check_equal "the versions are those that the image tells in a container" "$(cat container.json)" "$(cat health.json)"
check_equal "and it does its work" "[1,0,1]" "$(curl -sS -m 30 -H 'Content-Type: application/json' \
	-d '{"samples": [[0, 0], [1.9, -1.9], [0.1, 0.2]]}' "http://127.0.0.1:$PORT/predict" | jq -c .classes)"

# ---- other tools read the bundle ----

bundle=$(status bundle) name=$REPOSITORY/backend
if have_peer skopeo; then
	check_equal "skopeo" "$bundle" "$(peer skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$name:bundle-v1.0.0")"
else
	skip "skopeo is not installed"
fi
if have_peer oras; then
	peer oras discover --plain-http --format json "$name:v1.0.0" >discovered 2>err || :
	check "oras finds it at the image" has discovered "$bundle"
	check_equal "and its layers are the image's, and one more" \
		"$(peer oras manifest fetch --plain-http "$name:v1.0.0" | jq -c .layers)" \
		"$(peer oras manifest fetch --plain-http "$name@$bundle" | jq -c '.layers[:-1]')"
else
	skip "oras is not installed"
fi

# ---- a process like any other of the host ----

id=$(n cat /etc/sbuild/ids/backend)
check_equal "it runs as a user of its own" "$id $id" \
	"$(n awk '/^[UG]id:/ { printf "%s%s", n++ ? " " : "", $3 }' "/proc/$pid/status")"
check_equal "its parent is systemd" 1 "$(n awk '/^PPid:/ { print $2 }' "/proc/$pid/status")"
check "in a user namespace that has that one and root" sh -c "! [ '$(n readlink /proc/1/ns/user)' = '$(n readlink "/proc/$pid/ns/user")' ] &&
	[ '$(n sed -E 's/ +/ /g; s/^ //' "/proc/$pid/uid_map" | paste -sd ,)' = '0 0 1,$id $id 1' ]"
for kind in pid net cgroup; do
	check_equal "it has the host's $kind namespace" "$(n readlink /proc/1/ns/$kind)" "$(n readlink "/proc/$pid/ns/$kind")"
done
check_equal "no runtime of containers is at work on its node" "" \
	"$(n sh -c 'cat /proc/[0-9]*/comm' 2>/dev/null | grep -E '^(runc|crun|conmon|podman|docker|containerd)' || :)"
check "it is in its service's control group" n grep -q '/system.slice/backend.service$' "/proc/$pid/cgroup"
check "no privileges" n grep -q '^CapEff:	0000000000000000$' "/proc/$pid/status"

# What the service can open: as its user, in its root, in its control group.
opens() { # SERVICE PATH…
	opens_pid=$(n systemctl show -P MainPID "$1") opens_group=$1.service
	shift
	n sh -c 'echo $$ >"/sys/fs/cgroup/system.slice/$1/cgroup.procs" && pid=$2 && shift 2 &&
		exec nsenter -t "$pid" -m -r -S 1000 -G 1000 /usr/bin/python3 -c "
import errno, os, sys
for path in sys.argv[1:]:
    try:
        os.close(os.open(path, os.O_RDWR))
        print(path, \"opens\")
    except OSError as e:
        print(path, errno.errorcode[e.errno])" "$@"' sh "$opens_group" "$opens_pid" "$@" 2>&1 | tr '\n' ' '
}
n systemctl show -P DevicePolicy -P DeviceAllow backend >allowed
check "closed to all devices but its GPU's" sh -c 'grep -qx closed allowed && grep -q "^/dev/nvidia0 rw" allowed &&
	! grep -E "/dev/(nvidia[1-9]|other)" allowed || { cat allowed && false; }'
check_equal "it sees its GPU" /dev/nvidia0 "$(n nsenter -t "$pid" -m -r /bin/ls /dev/nvidia0)"
if ! n test -e /sys/fs/cgroup/cgroup.controllers; then
	skip "the nodes' control groups are of version 1 here, where systemd can't close devices"
elif n test -c /dev/nvidia0; then
	check_equal "it may use its GPU and no other device" \
		"/dev/nvidia0 opens /dev/nvidiactl opens /dev/nvidia1 EPERM /dev/other EPERM /dev/null opens " \
		"$(opens backend /dev/nvidia0 /dev/nvidiactl /dev/nvidia1 /dev/other /dev/null)"
fi
check "the unit names it" n grep -q '^Environment="CUDA_VISIBLE_DEVICES=0"$' /etc/systemd/system/backend.service

# ---- its units ----

# It looks for programs on the host, whatever RootDirectory= says.
check_equal "systemd finds nothing to say to its units" "" \
	"$(n sh -c 'cd /etc/systemd/system && systemd-analyze verify --man=no ./backend.service ./run-sbuild-backend-*.mount 2>&1' |
		grep -v 'backend.service: Command /.sbuild/init is not executable: No such file or directory')"
exposure=$(n systemd-analyze security --no-pager backend.service | tail -n 1)
note "$exposure"
check "and rates it OK" sh -c 'echo "$1" | grep -q " OK "' sh "$exposure"

# ---- one file of the application changes ----

echo "# another" >>recipes/backend/model.py
check "a second release" release 1.1.0
own_gap backend "$PORT" /health
sent=$(registry_sent main)
watch "$PORT" /health
check "is installed" n sbuild install "$REPOSITORY/backend:v1.1.0"
watched
fetched=$(($(registry_sent main) - sent)) took=
check_equal "old, then new" "1.0.0 1.1.0 " "$(versions)"
check "less than 64 KB are fetched ($fetched)" test "$fetched" -lt 65536
check_quick "the upgrade" backend 1 2 "$PORT" /health
note "the second release: $fetched bytes fetched; nobody answers for $gap ms; its own restart takes $own ms"
own_gap backend "$PORT" /health
rollback_gap backend 1 "$PORT" /health
check_equal "and back" "1.1.0 1.0.0 " "$(versions)"
check_quick "the rollback" backend 2 1 "$PORT" /health
note "sbuild rollback: nobody answers for $gap ms; its own restart takes $own ms; the command $took ms"
n sbuild rollback backend 2 >out 2>&1 || cat out

# ---- one that fails ----

leftovers() {
	n sh -c 'ls -A /etc/systemd/system | grep -E "^\.|green" || :; ls -A /var/lib/sbuild/sbuild/services/backend | grep -E "operation|^\.tmp" || :
		ls /etc/systemd/system | grep -c "run-sbuild.*mount"; grep -c " /run/sbuild/" /proc/self/mountinfo'
}
before=$(leftovers)
sed -i 's|"/health"|"/healthy"|' recipes/backend/main.py
release 1.2.0 >/dev/null 2>err
check_fails "a release that is not healthy" 7 n sbuild install "$REPOSITORY/backend:v1.2.0" --wait=20s
check_equal "the one before serves again" 1.1.0 "$(version)"
check_equal "it is the current one" 2 "$(status generation)"
check_equal "nothing is left" "$before" "$(leftovers)"
check "but the record" n sh -c 'sbuild status backend | grep -q "generation 3 failed"'
cp "$TOP/recipes/backend/main.py" recipes/backend/

# ---- a loss of power ----

kill_node one
boot_node one
n mknod -m 666 /dev/nvidia0 c 10 229 || :
wait_for 60 health
check_equal "after a reboot it serves" 1.1.0 "$(version)"

# ---- ten services on its dependencies, which are on the disk once ----

one=$(du -s "$T/node-one/store" | cut -f1)
other() { # NAME COMMAND: a job
	sed -e "s|^name: backend|name: $1|" -e "s|repository: .*|repository: $REPOSITORY/$1|" -e '/^service:/,$d' \
		-e "s|entrypoint: .*|entrypoint: [python3, -c, '$2']|" -e '/^  cmd:/d' recipes/backend.yaml >"recipes/$1.yaml"
	printf 'service:\n  type: job\n' >>"recipes/$1.yaml"
	release 1.0.0 "$1" >/dev/null 2>err || cat err
}
for i in 1 2 3 4 5 6 7 8 9; do
	other "job$i" 'import os, sys; sys.exit(any(n.startswith("nvidia") for n in os.listdir("/dev")))'
	check "job$i, without a GPU, sees none" n sbuild install "$REPOSITORY/job$i:v1.0.0"
done
check_equal "ten services are there" 10 "$(n sbuild status --json | jq '.services | length')"
ten=$(du -s "$T/node-one/store" | cut -f1)
note "one service takes $one KB of disk, ten on the same dependencies $ten KB"
check "the dependencies are on the disk once ($one, then $ten KB)" test "$ten" -lt $((one + 9 * 512))
