#!/bin/sh
# All commands of one service at once, over and over, and a timer that follows its tag: each waits for
# its turn and says so, and what there is at the end is whole.
#
#   SB_STRESS=12    seconds, and more until each was done
. tests/e2e/node-service.lib
. "$TOP/tests/e2e/node-kill.lib"
PORT=$(free_port)
SERVICE_TIMEOUT=5s
make_service web "$PORT"
web=$REPOSITORY/web
for version in 1 2 3; do release web $version.0.0 >/dev/null 2>err; done
release web 4.0.0 broken >/dev/null 2>err
release web 5.0.0 >/dev/null 2>err
boot_node one
n sbuild install "$web:v1.0.0" >out 2>&1 || cat out

# Every command of a job with its status, and what it said, in NAME.log. Statuses that it may have: a
# pattern of grep.
job() { # NAME STATUSES SECONDS-BETWEEN ARGUMENT…
	job=$1 statuses=$2 pause=$3
	shift 3
	{
		: >"$job.log"
		: >"$job.bad"
		while [ ! -e end ]; do
			status=0
			n sbuild "$@" >"$job.out" 2>&1 || status=$?
			{ echo "$status: $*" && cat "$job.out"; } >>"$job.log"
			expr "$status" : "$statuses\$" >/dev/null || { echo "$status: $*" && cat "$job.out"; } >>"$job.bad"
			sleep "$pause"
		done
	} &
	jobs="$jobs $!"
}
jobs=
job two 0 0.1 install "$web:v2.0.0"
job three 0 0.1 install "$web:v3.0.0"
job broken 7 1 install "$web:v4.0.0"
# Between installing and following it may have been taken away: there is no such service then.
job follow '[01]' 1 install "$web:latest" --auto --interval 1s
job rollback '[01]' 0.1 rollback web
job uninstall '[01]' 2 uninstall web
job prune 0 0.1 prune
job status 0 0.1 status --json
each_was_done() {
	for name in two three follow rollback uninstall prune status; do grep -q '^0: ' "$name.log" || return 1; done
}
sleep "${SB_STRESS:-12}"
wait_for 60 each_was_done || : # other tests may have the processors
: >end
# shellcheck disable=SC2086 # numbers
wait $jobs
bad=
for log in *.bad; do bad="$bad$(head -n 5 "$log")"; done
check_equal "no command ended with what is nobody's fault" "" "$bad"
# One that is refused says that there is none, or nothing to go back to.
check_equal "no other refusals" "" "$(grep -h 'sbuild: error' follow.log rollback.log uninstall.log | grep -v 'there is no service web\|no generation before' | head -n 5)"
check "who waits says so" grep -q 'another sbuild is at work on web: waiting for it' two.log
for name in two three follow rollback uninstall prune status; do
	check "$name was done ($(grep -c '^0: ' "$name.log") of $(grep -c '^[0-9]*: ' "$name.log"))" \
		test "$(grep -c '^0: ' "$name.log")" -ge 1
done

n sbuild install "$web:v3.0.0" --no-auto >out 2>&1 || cat out
idle web || :
check_equal "at the end it is whole" "" "$(consistent web "$PORT")$(leftovers web)$(trees)"
check_equal "it serves what was installed last" 3.0.0 "$(ask "$PORT")"
check_equal "in one process" 1 "$(pgrep -cf "^/bin/busybox httpd.*-p $PORT ")"
check "prune" n sbuild prune
check_equal "leaves nothing that nobody needs" "" "$(trees pruned)"
check_equal "no unit failed" "" "$(n systemctl --failed --plain --no-legend)"
check "uninstall" n sbuild uninstall web
check_equal "leaves nothing" "" "$(gone web "$PORT")"

# ---- two services that want one port ----

for name in left right; do
	make_service $name "$PORT"
	release $name 1.0.0 >/dev/null 2>err
done
both=
for _ in 1 2 3; do
	n sbuild install "$REPOSITORY/left:v1.0.0" >left.out 2>&1 &
	left=$!
	n sbuild install "$REPOSITORY/right:v1.0.0" >right.out 2>&1 &
	wait $left && a=0 || a=$?
	wait $! && b=0 || b=$?
	both="$both$((a < b ? a : b))$((a < b ? b : a)) "
	for name in left right; do n sbuild uninstall $name >/dev/null 2>&1 || :; done
done
check_equal "one gets it, whoever is first" "01 01 01 " "$both"
check "the other is told" grep -hq "port $PORT of .* is the port of the service" left.out right.out
