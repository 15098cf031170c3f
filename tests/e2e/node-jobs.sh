#!/bin/sh
# Jobs over releases: a run that goes on is not lost, whose it was is known, and a schedule that moved, or
# comes anew, runs nothing at once; runs every few seconds are not refused. On nodes of three systemds.
set -eu
. tests/e2e/node-service.lib
ROOTS=${NODE_ONLY:-node node-bullseye node-trixie}

# Of the generation in its VERSION; its data are /data. It runs as long as that says.
job() { # NAME VERSION SECONDS END [LINE OF SERVICE…]
	mkdir -p "$1"
	cat >"$1/run" <<-END
		#!/bin/sh
		echo "begin $2 \$(date +%s.%N)" >>/data/runs
		for i in \$(seq $3); do sleep 1; done
		ls /app/run >/dev/null && echo "end $2" >>/data/runs
		exit $4
	END
	chmod +x "$1/run"
	job_name=$1 job_version=$2
	shift 4
	cat >"$job_name.yaml" <<-END
		name: $job_name
		from: base.yaml
		layers: [{name: app, copy: {from: $job_name, to: /app}}]
		tags: [semver]
		image: {repository: $REPOSITORY/$job_name, workdir: /app, entrypoint: [/app/run]}
		service:
		  type: job
		  directories: {state: /data}
	END
	for line; do echo "  $line" >>"$job_name.yaml"; done
	"$SBUILD" bundle "$job_name.yaml" --push --version "$job_version" --progress plain >bundle.out 2>&1 || cat bundle.out
}
n() { node_run "$here" "$@"; }
runs() { n cat "/var/lib/$1/runs" 2>/dev/null || :; }
count() { runs "$1" | grep -c "^$2" || :; }
ran() { runs "$1" | grep -q "^$2"; }

job often 1.0.0 0 0 'schedule: "*:*:0/2"'
job long 1.0.0 4 3 'schedule: "2099-01-01"'
job long 2.0.0 1 0 'schedule: "2099-01-01"'
job moved 1.0.0 0 0 'schedule: "*-*-* 00:00"'
job moved 2.0.0 0 0 "schedule: \"*-*-* $(date -u -d '1 hour ago' +%H:%M)\""
job once 1.0.0 3 0
job once 2.0.0 1 0
job fails 1.0.0 0 1
for root in $ROOTS; do
	here=$root
	boot_node "$here" "$root"
	check "$root: a job every two seconds" n sbuild install "$REPOSITORY/often:v1.0.0" --plain-http

	# On a schedule: the run goes on beside the switch.
	check "$root: a job that takes its time" n sbuild install "$REPOSITORY/long:v1.0.0" --plain-http
	n systemctl start --no-block long
	check "$root: it runs" wait_for 10 ran long "begin 1.0.0"
	began=$(date +%s%N)
	check "$root: a release while it runs" n sbuild install "$REPOSITORY/long:v2.0.0" --plain-http
	check "$root: does not wait" test $((($(date +%s%N) - began) / 1000000)) -lt 3000
	check_equal "$root: nor end it" "" "$(runs long | grep end || :)"
	check "$root: it ends by itself, in its own root" wait_for 10 ran long "end 1.0.0"
	wait_for 5 sh -c "nsenter -t $(node_pid "$here") -a systemctl is-failed long"
	check "$root: that it failed is not the new one's fault" n sbuild status long
	check "$root: the next run" n systemctl start long
	check "$root: is the new one's" ran long "end 2.0.0"

	# A schedule that moved has missed nothing.
	check "$root: a job at midnight" n sbuild install "$REPOSITORY/moved:v1.0.0" --plain-http
	check "$root: and an hour ago" n sbuild install "$REPOSITORY/moved:v2.0.0" --plain-http
	n touch -d "3 days ago" /var/lib/systemd/timers/stamp-moved.timer
	check "$root: back" n sbuild rollback moved
	check "$root: the same, while systemd thinks that it ran days ago" n sbuild uninstall moved
	check_fails "$root: what systemd knew of it is gone" 2 n ls /var/lib/systemd/timers/stamp-moved.timer
	n touch -d "3 days ago" /var/lib/systemd/timers/stamp-moved.timer
	check "$root: anew" n sbuild install "$REPOSITORY/moved:v2.0.0" --plain-http

	# Without one: installing runs it, once the run before has ended.
	check "$root: a job that runs when it is installed" n sbuild install "$REPOSITORY/once:v1.0.0" --plain-http
	check_equal "$root: it ran to its end" "1 1" "$(count once begin) $(count once end)"
	n systemctl start --no-block once
	wait_for 10 sh -c "[ \$(nsenter -t $(node_pid "$here") -a grep -c begin /var/lib/once/runs) = 2 ]"
	check "$root: a release while it runs again" n sbuild install "$REPOSITORY/once:v2.0.0" --plain-http
	said "waiting for the run that goes on to end"
	check_equal "$root: comes after it" "begin 1.0.0 end 1.0.0 begin 1.0.0 end 1.0.0 begin 2.0.0 end 2.0.0" \
		"$(runs once | cut -d' ' -f1,2 | paste -sd ' ')"
	check_fails "$root: one that fails" 7 n sbuild install "$REPOSITORY/fails:v1.0.0" --plain-http
	check_equal "$root: runs once" 1 "$(count fails begin)"

	check_equal "$root: nothing ran at once" "" "$(runs moved)"
	check "$root: the frequent one ran more than ten times" wait_for 20 sh -c \
		"[ \$(nsenter -t $(node_pid "$here") -a grep -c begin /var/lib/often/runs) -gt 12 ]"
	# Each two seconds, to the tenth: the first of these may have been late, as it was installed meanwhile.
	runs often | sed -nE 's/^begin .* [0-9]+[0-9](\.[0-9]).*/\1/p' | sort | uniq -c >late
	check "$root: and on time" sh -c '[ "$(awk "\$2 > 0.4 { late += \$1 } END { print late + 0 }" late)" -le 3 ]'
	kill_node "$here"
done
