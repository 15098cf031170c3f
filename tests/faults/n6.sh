#!/bin/sh
# A release doesn't end a job that runs; a schedule that moved, or comes anew, runs nothing at once.
. tests/faults/lib.sh
. "$TOP/tests/faults/service.lib"
runs='echo "begin $(cat /app/version)" >>/data/runs
sleep 4
echo "end $(cat /app/version)" >>/data/runs'
for version in 1.0.0 2.0.0; do
	script long "$version" "$runs" 'type: job' 'schedule: "2099-01-01"' 'directories: {state: /data}'
done
check "a job that takes 4 s" install long 1.0.0
n systemctl start --no-block long
wait_for 5 n test -e /var/lib/long/runs
check "a release while it runs" install long 2.0.0
check "it runs to its end" wait_for 8 n grep -q "end 1.0.0" /var/lib/long/runs
check "nothing is said against the new one" n sbuild status long
hour=$(date -u -d '1 hour ago' +%H:%M)
script moved 1.0.0 'echo ran >>/data/runs' 'type: job' 'schedule: "*-*-* 00:00"' 'directories: {state: /data}'
check "a job at midnight" install moved 1.0.0
n touch -d '2 days ago' /var/lib/systemd/timers/stamp-moved.timer
script moved 2.0.0 'echo ran >>/data/runs' 'type: job' "schedule: \"*-*-* $hour\"" 'directories: {state: /data}'
check "an hour ago now" install moved 2.0.0
check "is uninstalled" n sbuild uninstall moved
n touch -d '2 days ago' /var/lib/systemd/timers/stamp-moved.timer
check "and is there anew" install moved 2.0.0
sleep 1
check_fails "none of that ran it" 1 n cat /var/lib/moved/runs
