# Sourced by each tests/e2e/*.sh: checks that count, and a scratch directory of its own.
#
#   . tests/e2e/lib.sh
#   need_root                        the script is skipped, with the reason, when something is
#   need skopeo jq                   missing
#   check "the image is listed" grep -q hello out
#   check_equal "one digest" "$a" "$b"
#   check_fails "a bad recipe" 3 "$SBUILD" bad.yaml     (fails, with this exit status)
#   check_said 'expected a digest'   what the last of those printed (it is in the file said)
#   check "the log says so" has FILE PATTERN
#   note "a restart takes $ms ms"    a measured figure, for who reads the log
#   skip "no user namespaces here"   counts one skipped check
#
# $SBUILD is the program, $TOP the checkout, $T a scratch directory (the working directory too, and
# removed at the end), SBUILD_STORE a store below it. A command's output is shown when its check fails.
# A script's own function `cleanup` is called at its end, too.
# At the end the script counts itself; exiting early by an error (set -e) is a failure.
set -eu
TOP=$PWD
SBUILD=${SBUILD:-$TOP/build/sbuild}
NAME=$(basename "$0" .sh)
T=$(mktemp -d "/var/tmp/sb-e2e-$NAME.XXXXXX")
PATH=$PATH:/usr/sbin:/sbin
SBUILD_STORE=$T/store
# What is away for good in a test need not be waited for as long as for people.
SBUILD_PATIENCE=${SBUILD_PATIENCE:-2s}
export PATH SBUILD SBUILD_STORE SBUILD_PATIENCE LC_ALL=C.UTF-8
unset SOURCE_DATE_EPOCH XDG_CONFIG_HOME XDG_DATA_HOME 2>/dev/null || :
passed=0 failed=0 skipped=0 ended= made_user=

finish() {
	status=$?
	trap - EXIT INT TERM
	set +e
	if command -v cleanup >/dev/null; then cleanup; fi
	if command -v stop_nodes >/dev/null; then stop_nodes; fi           # of node.lib
	if command -v stop_registries >/dev/null; then stop_registries; fi # of registry.lib
	if command -v stop_emulation >/dev/null; then stop_emulation; fi   # of emulation.lib
	if command -v stop_docker >/dev/null; then stop_docker; fi         # of peers.lib
	end_jobs
	[ -z "$made_user" ] || end_test_user
	[ "$status" = 0 ] || [ -n "$ended" ] || {
		echo "FAIL $NAME: ended with status $status; what its commands said last:"
		(cd "$T" && tail -n 20 .check err* 2>/dev/null | sed 's/^/    /')
		failed=$((failed + 1))
	}
	# Deepest first: what a killed build left mounted must not be in the way, nor be removed through.
	awk -v t="$T/" 'index($5, t) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
		while read -r mount; do umount -l "$mount" 2>/dev/null || :; done
	cd /
	chmod -R u+rwX "$T" 2>/dev/null || :
	rm -rf --one-file-system "$T"
	echo "$NAME: $passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ] || exit 1
	exit 0
}
trap finish EXIT
trap 'exit 130' INT TERM
cd "$T"

check() { # NAME COMMAND…
	check_name=$1
	shift
	if "$@" >"$T/.check" 2>&1; then
		passed=$((passed + 1))
	else
		echo "FAIL $NAME: $check_name (status $?): $*"
		tail -n 60 "$T/.check" | sed 's/^/    /'
		failed=$((failed + 1))
	fi
}

check_equal() { # NAME A B
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
	else
		printf 'FAIL %s: %s:\n    %s\n    %s\n' "$NAME" "$1" "$2" "$3"
		failed=$((failed + 1))
	fi
}

check_fails() { # NAME STATUS COMMAND…    (STATUS may be a pattern: [56])
	check_name=$1 wanted=$2
	shift 2
	status=0
	"$@" >"$T/.check" 2>&1 || status=$?
	cp "$T/.check" "$T/said"
	if expr "$status" : "$wanted\$" >/dev/null; then
		passed=$((passed + 1))
	else
		echo "FAIL $NAME: $check_name: status $status instead of $wanted: $*"
		tail -n 60 "$T/.check" | sed 's/^/    /'
		failed=$((failed + 1))
	fi
}

has() { # FILE PATTERN: a line of the file is like that; the file is shown when none is
	grep -Eq -- "$2" "$1" || { cat "$1" && false; }
}

check_said() { # PATTERN
	check "it says: $1" has "$T/said" "$1"
}

free_port() { # a port that was free a moment ago, each time another
	python3 -c 'import socket, sys
given = open(sys.argv[1], "a+")
given.seek(0)
before = given.read().split()
while True:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    if port not in before:
        break
print(port, file=given)
print(port)' "$T/.ports"
}

note() { # TEXT
	echo "NOTE $NAME: $*"
}

skip() { # WHY
	echo "SKIP $NAME: $*"
	skipped=$((skipped + 1))
}

skip_all() { # WHY
	skip "$@"
	ended=1
	exit 0
}

need() { # PROGRAM…
	for program; do
		command -v "$program" >/dev/null || skip_all "$program is not installed"
	done
}

# What a build that failed said is that no packages can be had: then nothing can be tested here.
skip_without_mirror() { # FILE
	no_mirror=$(grep -E 'Could not (resolve|connect)|Unable to connect|Failed to fetch|Network is unreachable' "$1" | tail -n 1)
	[ -z "$no_mirror" ] || skip_all "no packages can be had here: $no_mirror"
}

need_root() {
	[ "$(id -u)" = 0 ] || skip_all "needs root"
}

# A root file system of one static program, in DIR, that a copy layer can bring: for run steps
# without any bootstrap.
busybox_root() { # DIR
	need busybox
	ldd "$(command -v busybox)" >/dev/null 2>&1 && skip_all "busybox is not static (apt install busybox-static)"
	mkdir -p "$1/bin" "$1/etc" "$1/root" "$1/tmp"
	cp "$(command -v busybox)" "$1/bin/busybox"
	busybox --list | while read -r applet; do
		[ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nworker:x:1234:1234::/home:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\nworker:x:1234:\nextra:x:77:worker\n' >"$1/etc/group"
}

# A program of this machine, with its libraries, in a root that busybox_root made.
bring() { # PROGRAM DIR
	cp "$(command -v "$1")" "$2/bin/$1"
	ldd "$(command -v "$1")" | sed -nE 's/.*(=> | |\t)(\/[^ ]+) \(0x.*/\2/p' | while read -r library; do
		mkdir -p "$2$(dirname "$library")" && cp -L "$library" "$2$library"
	done
}

# base.yaml, whose one layer is such a root, in the directory rootfs: what recipes with steps stand on.
busybox_base() {
	busybox_root rootfs
	printf 'name: base\nfrom: scratch\nlayers: [{name: busybox, copy: {from: rootfs, to: /}}]\n' >base.yaml
}

# What the script still has in the background: an early end may be between its start and its end.
end_jobs() {
	jobs -p >"$T/.jobs" # of this shell, not of a substitution's
	while read -r job_pid; do kill "$job_pid"; done <"$T/.jobs" 2>/dev/null
}

# An ordinary user with subordinate ids, $user, at home in $T/home, until the script's end.
test_user() {
	need useradd userdel usermod setpriv newuidmap
	user=sbtest$$
	for _ in 1 2 3 4 5; do # one process at a time has /etc/passwd
		! useradd --create-home --home-dir "$T/home" --shell /bin/sh "$user" 2>useradd.err || break
		sleep 0.2
	done
	id "$user" >/dev/null 2>&1 || skip_all "no user could be made: $(cat useradd.err)"
	made_user=$user
	grep -q "^$user:" /etc/subuid || usermod --add-subuids 2000000000-2000065535 --add-subgids 2000000000-2000065535 "$user"
	chmod 755 "$T"
}
settings() { # the text on standard input as this user's own settings, from here on
	mkdir -p "$T/config/sbuild"
	cat >"$T/config/sbuild/config.yaml"
	chmod -R a+rX "$T/config"
	export XDG_CONFIG_HOME="$T/config"
}
as_user() { # [VARIABLE=VALUE | -C DIR]… COMMAND…
	setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups --reset-env env -C "$T" "$@"
}
end_test_user() {
	pkill -KILL -u "$made_user"
	userdel "$made_user"
}

# The digests of all blobs are those of their names, and sbuild's temporary directories are empty.
check_store() { # NAME [STORE]
	check "$1: every blob matches its digest" blobs_match "${2:-$SBUILD_STORE}"
	check_equal "$1: no temporary files of dead processes" "" \
		"$(find "${2:-$SBUILD_STORE}/sbuild/tmp" "${2:-$SBUILD_STORE}/sbuild/live" -mindepth 1 -maxdepth 1)"
}
blobs_match() { # STORE
	(cd "$1/blobs/sha256" && sha256sum -- * | awk '$1 != $2 { print; bad = 1 } END { exit bad }')
}
