#!/bin/sh
# Killing a build at any moment leaves a whole store, and nothing else: no process, mount, cgroup or
# temporary file once the next build is done. Ctrl-C ends a build, and all it started, at once.
#
#   SB_KILLS=24    how often    SB_SEED=…    when: printed, so that a failure can be repeated
. tests/e2e/lib.sh
need_root
need runc jq setsid
busybox_base
kills=${SB_KILLS:-24} seed=${SB_SEED:-$$}
mark=marker-$$-$seed nap=0$$ # in command lines of ours alone
cleanup() { pkill -KILL -f "$mark|$T/|sleep [12]$nap"; }
mkdir src
for i in 1 2 3; do head -c 300000 /dev/urandom | od -x >src/$i; done
{
	printf 'name: many\nfrom: base.yaml\nargs: {N: "0"}\nlayers:\n'
	for i in 1 2 3; do
		echo "  - {name: copy$i, copy: {from: src/$i, to: /data/}}"
		echo "  - {name: run$i, run: ': $mark; od -x /bin/busybox | head -n 60000 >/data/run$i; sleep 0.02; rm -f /data/$((i - 1))'}"
		echo "  - {name: more$i, run: ': $mark; mkdir -p /more/$i; ln /data/run$i /more/$i/; chown 1:$i /more/$i'}"
	done
} >many.yaml
cat >slow.yaml <<EOF
name: slow
from: base.yaml
layers: [{name: slow, run: ": $mark; trap '' INT TERM; (trap '' HUP; sleep 1$nap) & sleep 2$nap"}]
EOF

# Of this test's builds: processes and what they mounted, in any mount namespace.
processes() {
	ps -eo stat=,pid=,args= | grep -F -e "$mark" -e "$T" -e "sleep 1$nap" -e "sleep 2$nap" |
		grep -Ev '^Z|grep -F|[0-9] (sh|/bin/sh|sh -x) [^ ]*kill\.sh' || :
}
mounts() {
	cat /proc/[0-9]*/mountinfo 2>/dev/null | grep -F "$T" | sort -u
}
# Those of dead builds: other tests may be building now.
cgroups() {
	find /sys/fs/cgroup -type d -name 'sbuild-[0-9]*-[0-9]*' 2>/dev/null | while read -r path; do
		pid_of=${path##*/sbuild-}
		[ -d "/proc/${pid_of%%-*}" ] || echo "$path"
	done
}
leftovers() {
	processes
	mounts
	cgroups
	find "$1/sbuild/tmp" "$1/sbuild/live" -mindepth 1 -maxdepth 1 || :
}
# After a kill: what was killed is given the time to end.
settled() { # STORE
	for _ in $(seq 100); do
		[ -n "$(processes)$(mounts)$(cgroups)" ] || break
		sleep 0.1
	done
	leftovers "$1"
}
now() { date +%s%N; }

# ---- SIGKILL ----

"$SBUILD" many.yaml 2>err >digest || cat err
digest=$(cat digest)
length=
for i in 1 2 3; do
	began=$(now)
	"$SBUILD" many.yaml --no-cache --store "$T/timed" >/dev/null 2>&1
	took=$(($(now) - began))
	[ "${length:-$took}" -lt $took ] || length=$took
done
rm -rf timed
echo "kill: $kills kills, SB_SEED=$seed, a build takes $((length / 1000000)) ms"
awk -v seed="$seed" -v n="$kills" -v length_="$length" \
	'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.3f\n", rand() * length_ / 1e9 }' >moments

killed=0 n=0 bad=
while read -r moment; do
	n=$((n + 1)) store=$SBUILD_STORE how="--set N=$n"
	case $((n % 8)) in
	3 | 6) how=--no-cache ;;
	5) how="--set N=$n --runtime runc" ;;
	7) store=$T/fresh-$n ;; # a store that is only just being made
	esac
	# shellcheck disable=SC2086 # words are wanted
	"$SBUILD" many.yaml $how --store "$store" >/dev/null 2>&1 &
	pid=$!
	sleep "$moment"
	! kill -KILL $pid 2>/dev/null || killed=$((killed + 1))
	wait $pid 2>/dev/null || :
	# shellcheck disable=SC2086
	got=$("$SBUILD" many.yaml $how --store "$store" 2>err) || { bad="$bad kill $n ($moment s): $(tail -n 3 err)" && continue; }
	[ "$got" = "$digest" ] || bad="$bad kill $n ($moment s): $got"
	left=$(leftovers "$store")
	# What a dying runtime made again after it was swept goes with the next command.
	[ -z "$left" ] || { settled "$store" >/dev/null && "$SBUILD" images --store "$store" >/dev/null && left=$(leftovers "$store"); }
	[ -z "$left" ] || bad="$bad kill $n ($moment s) left: $left"
	[ "$store" = "$SBUILD_STORE" ] || {
		blobs_match "$store" >/dev/null || bad="$bad kill $n: a blob is damaged"
		rm -rf "$store"
	}
done <moments
check_equal "after each kill the next build succeeds and nothing is left" "" "$bad"
check "builds were caught alive ($killed of $kills)" test $((killed * 4)) -ge "$kills"
check_store "after all kills"
check_equal "the image is whole" "$digest" "$("$SBUILD" many.yaml --no-cache 2>/dev/null)"

touch "$SBUILD_STORE/sbuild/records/.tmp-0123456789abcdef"
"$SBUILD" prune >/dev/null
check_equal "pruning removes files that were only half written" "" \
	"$(find "$SBUILD_STORE" -maxdepth 3 -name '.tmp-*')"

# ---- signals that ask ----

ends_by() { # WHAT SIGNAL STATUS TARGET-PREFIX [REPEAT]
	for _ in 1 2 3; do # once more, if other tests had the processors
		setsid env --default-signal=INT,QUIT "$SBUILD" slow.yaml >out 2>err &
		pid=$! i=0
		until pgrep -x -f "sleep 2$nap" >/dev/null || [ $i = 300 ]; do sleep 0.02 && i=$((i + 1)); done
		began=$(now)
		kill -s "$2" -- "$4$pid"
		status=0
		wait $pid 2>/dev/null || status=$?
		took=$((($(now) - began) / 1000000))
		[ $took -ge 2000 ] || break
	done
	check_equal "$1 ends it by that signal" "$3" "$status"
	check "$1 ends it within 2 s ($took ms)" test $took -lt 2000
	check_equal "$1 leaves nothing" "" "$(leftovers "$SBUILD_STORE")"
	check "$1 is told" grep -qi interrupt err
}
ends_by "SIGINT to sbuild alone" INT 130 ""
ends_by "Ctrl-C" INT 130 -
ends_by "SIGTERM" TERM 143 ""
ends_by "SIGHUP" HUP 129 ""

# One that waits for another's layer.
setsid "$SBUILD" slow.yaml >/dev/null 2>&1 &
first=$!
i=0
until pgrep -x -f "sleep 2$nap" >/dev/null || [ $i = 300 ]; do sleep 0.02 && i=$((i + 1)); done
setsid env --default-signal=INT,QUIT "$SBUILD" slow.yaml >/dev/null 2>err &
second=$!
sleep 0.5
kill -INT $second
began=$(now) status=0
(sleep 5 && kill -KILL $second) 2>/dev/null &
guard=$!
wait $second 2>/dev/null || status=$?
check_equal "Ctrl-C ends a build that waits for another" 130 "$status"
kill -KILL $first
wait $first 2>/dev/null || :
kill $guard 2>/dev/null || :
check_equal "the image is still whole" "$digest" "$("$SBUILD" many.yaml 2>/dev/null)"
check_equal "and nothing is left" "" "$(settled "$SBUILD_STORE")"
check_store "after all signals"
