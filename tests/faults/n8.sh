#!/bin/sh
# A service that stops takes no shared memory of a person with the same number along.
. tests/faults/lib.sh
. "$TOP/tests/faults/service.lib"
# An sbuild before there were numbers of services' own knows no other way.
own='harden: {own_ids: false}'
grep -q own_ids known.err || own='stop_timeout: 5s'
script shared 1.0.0 'exec sleep 1000' "$own" "health: {command: \"true\"$steady}"
check "a service with its image's number" install shared 1.0.0
id=$(n setpriv --reuid 1234 --regid 1234 --clear-groups ipcmk -M 4096 -p 0600 | grep -o '[0-9]*$')
n systemctl stop shared
check "leaves a person's memory alone" n grep -qE " $id +600 " /proc/sysvipc/shm
