#!/bin/sh
# What can't start yet is tried on; what runs often is not refused; what fails is not repeated unasked.
. tests/faults/lib.sh
. "$TOP/tests/faults/service.lib"
script often 1.0.0 'exec sleep 1000' "health: {command: \"true\"$steady}"
check "a service" install often 1.0.0
check "is started twelve times" n sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do systemctl restart often || exit; done'
script mails 1.0.0 'echo sent >>/data/mails; exit 1' 'type: job' 'directories: {state: /data}' 'schedule: "2099-01-01"'
check "a job" install mails 1.0.0
n systemctl start mails || :
sleep 6
check_equal "sends its mails once" 1 "$(n sh -c 'grep -c sent /var/lib/mails/mails')"
check "is run when it is due" n sh -c 'case $(systemctl show -P AccuracyUSec mails.timer) in *ms | 1s | *us) ;; *) false ;; esac'
