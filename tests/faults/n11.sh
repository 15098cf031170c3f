#!/bin/sh
# Answers after 6 s count; what is gone 4 s after its first answer is no release; status tells by its exit.
. tests/faults/lib.sh
. "$TOP/tests/faults/service.lib"
script slow 1.0.0 'exec nc -ll -p $PORT -e /bin/busybox sh -c "sleep 6; echo HTTP/1.1 200 OK; echo"' \
	"port: $PORT" "env: {PORT: \"$PORT\"}" 'stop_timeout: 1s' "health: {http: /, timeout: 15s$steady}"
check "a slow answer" install slow 1.0.0
n systemctl stop slow || :
check_fails "status of one that is stopped" 7 n sbuild status slow
PORT2=$(free_port)
script dies 1.0.0 '/bin/busybox httpd -f -p 127.0.0.1:$PORT -h /app & sleep 4' "port: $PORT2" "env: {PORT: \"$PORT2\"}" \
	'stop_timeout: 1s' 'health: {http: /version, timeout: 5s}'
check_fails "one that dies after 4 s" 7 install dies 1.0.0
