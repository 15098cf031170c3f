#!/bin/sh
# A request that is open while a release stops the old process costs the new one none of its time for health.
. tests/faults/lib.sh
. "$TOP/tests/faults/service.lib"
serve='/bin/busybox httpd -f -p 127.0.0.1:$PORT -h /app &
trap "sleep 6; kill %1" TERM
wait
wait'
for version in 1.0.0 2.0.0; do
	script late "$version" "$serve" "port: $PORT" "env: {PORT: \"$PORT\"}" 'stop_timeout: 20s' \
		"health: {http: /version, timeout: 3s$steady}"
done
check "a service that takes 6 s to stop, and has 3 s to start" install late 1.0.0
check "the next release of it" install late 2.0.0
check_equal "serves" 2.0.0 "$(curl -s -m 5 "http://127.0.0.1:$PORT/version")"
