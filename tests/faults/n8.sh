#!/bin/sh
# A service that stops takes no shared memory of a person with the same number along.
. tests/faults/lib.sh
. "$TOP/tests/faults/service.lib"
script shared 1.0.0 'exec sleep 1000' 'harden: {own_ids: false}' "health: {command: \"true\"$steady}"
check "a service with its image's number" install shared 1.0.0
id=$(n setpriv --reuid 1234 --regid 1234 --clear-groups ipcmk -M 4096 -p 0600 | grep -o '[0-9]*$')
n systemctl stop shared
check "leaves a person's memory alone" n grep -qE " $id +600 " /proc/sysvipc/shm
