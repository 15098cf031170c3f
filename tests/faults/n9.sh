#!/bin/sh
# A server behind a shell that doesn't exec has its time to stop.
. tests/faults/lib.sh
. "$TOP/tests/faults/service.lib"
script wrapped 1.0.0 '/bin/busybox sh -c "trap \"sleep 1; echo ended well >/data/end; exit 0\" TERM; echo >/data/ready; while :; do sleep 0.1; done"
echo over' 'directories: {state: /data}' "health: {command: \"test -e /data/ready\"$steady}"
check "a service behind a shell" install wrapped 1.0.0
n systemctl stop wrapped
check_equal "ends by itself" "ended well" "$(n cat /var/lib/wrapped/end)"
