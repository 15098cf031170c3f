#!/bin/sh
# A service's processes: what they say when they open /dev/stdout, as images' logs do; who is told to stop,
# and what is left then; how its end is told; where it may keep caches. On nodes of three systemds.
set -eu
. tests/e2e/node-service.lib
free_port
ROOTS="node node-bullseye node-trixie"
[ -z "${NODE_ONLY:-}" ] || ROOTS=$NODE_ONLY

cat >says.sh <<'END'
echo "by fd 1"
echo "by fd 2" >&2
echo "by /dev/stdout" >/dev/stdout
echo "by /dev/stderr" >/dev/stderr
echo "by /proc/self/fd/1" >>/proc/self/fd/1
ln -s /dev/stdout /tmp/access.log && echo "by a link" >>/tmp/access.log
printf '<3>with a level\nwithout an end'
echo
env | sort | grep -E '^(HOME|XDG|CUDA|TRITON|MPL|NUMBA|TORCH|JOURNAL)' || :
mkdir -p "$XDG_CACHE_HOME/x" "$TRITON_CACHE_DIR" && echo "can keep caches"
sleep 1000
END
# The shell is what is started; the server is its child, and takes two seconds to end.
cat >wrapped.sh <<'END'
/bin/busybox sh -c 'trap "sleep 2; echo ended well; exit 0" TERM; echo ready; while :; do sleep 0.1; done' &
wait
END
# As a supervisor: it lets its worker end what it has begun; the worker itself would not.
cat >master.sh <<'END'
/bin/busybox sh -c 'trap "echo worker killed; exit" TERM; while :; do sleep 0.1; done' &
trap 'sleep 1; kill -0 $! && echo "worker untouched"; kill $!; exit 0' TERM
echo ready
while :; do sleep 0.1; done
END
# It leaves one behind that nothing ends.
cat >leaves.sh <<'END'
/bin/busybox sh -c 'trap "" TERM INT HUP; while :; do sleep 0.1; done' &
/bin/busybox sh -c 'trap "echo told; exit" TERM; while :; do sleep 0.1; done' &
sleep 0.5
echo "the last words"
exit 3
END
printf 'kill -SEGV $$\n' >crash.sh
mkdir -p app && cp ./*.sh app/
process() { # NAME SCRIPT [LINE OF SERVICE…]
	process=$1
	cat >"$1.yaml" <<-END
		name: $1
		from: base.yaml
		layers: [{name: app, copy: {from: app, to: /app}}]
		image:
		  repository: $REPOSITORY/$1
		  user: "4321"
		  workdir: /app
		  entrypoint: [/bin/busybox, sh, /app/$2.sh]
		service:
		  stop_timeout: 4s
		  health: {command: "true", steady: ${STEADY:-0s}}
	END
	shift 2
	for line; do echo "  $line" >>"$process.yaml"; done
}
for name in says wrapped master; do process "$name" "$name"; done
STEADY=3s
process leaves leaves
process crash crash "restart: no"
STEADY=0s
process said says 'directories: {cache: /var/keep}' 'env: {NUMBA_CACHE_DIR: /x}'
for name in says said wrapped master leaves crash; do
	check "$name is bundled" "$SBUILD" bundle "$name.yaml" --push --tag "$REPOSITORY/$name:1" --progress plain
done

n() { node_run "$here" "$@"; }
log() { n journalctl -q -o cat -u "$1"; }
logged() { log "$1" | grep -qxF "$2"; }
for root in $ROOTS; do
	here=$root
	boot_node "$here" "$root"
	for name in says said wrapped master; do
		check "$root: $name is installed" n sbuild install "$REPOSITORY/$name:1" --plain-http
	done
	# What it says.
	for way in "fd 1" "fd 2" /dev/stdout /dev/stderr /proc/self/fd/1 "a link"; do
		check "$root: the journal has what was said by $way" wait_for 10 logged says "by $way"
	done
	check "$root: levels count, and a line is what it was" wait_for 5 sh -c \
		"[ \"\$(nsenter -t $(node_pid "$here") -a journalctl -q -o cat -p err -u says)\" = 'with a level' ]"
	check_equal "$root: under the program's name" busybox \
		"$(n journalctl -q -o json -u says | jq -r 'select(.MESSAGE == "by fd 1") | .SYSLOG_IDENTIFIER')"
	check "$root: caches can be written" wait_for 5 logged says "can keep caches"
	check "$root: there is a home" logged says "HOME=/tmp"
	check "$root: caches are in its own /tmp" logged says "XDG_CACHE_HOME=/tmp/.cache"
	check "$root: or where it keeps caches" wait_for 5 logged said "XDG_CACHE_HOME=/var/keep"
	check "$root: those that go elsewhere too" logged said "TRITON_CACHE_DIR=/var/keep/triton"
	check "$root: what the image says stands" logged said "NUMBA_CACHE_DIR=/x"
	log says >says.log
	check "$root: nothing tells of a socket" sh -c '! grep JOURNAL_STREAM says.log'
	# Who is told to stop.
	wait_for 10 logged wrapped ready
	check "$root: the wrapped one stops" n systemctl stop wrapped
	check "$root: the server behind a shell had its time" logged wrapped "ended well"
	wait_for 10 logged master ready
	check "$root: the supervisor stops" n systemctl stop master
	check_equal "$root: it saw to its worker itself, and nobody else before" "worker untouched worker killed" \
		"$(log master | grep '^worker [uk]' | paste -sd ' ')"
	# How it ends.
	check_fails "$root: one that ends at once is no release" 7 n sbuild install "$REPOSITORY/leaves:1" --plain-http --wait=3s
	check "$root: what it said at last is known" wait_for 5 logged leaves "the last words"
	check "$root: who was left was told" logged leaves told
	check_fails "$root: one that crashes is none either" 7 n sbuild install "$REPOSITORY/crash:1" --plain-http
	check_said "signal"
	check_equal "$root: nothing is left running" "" "$(n sh -c 'grep -l leaves[.]sh /proc/[0-9]*/cmdline 2>/dev/null' || :)"
	kill_node "$here"
done
