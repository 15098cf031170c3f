#!/bin/sh
# /dev/stdout and /dev/stderr can be opened; there is a home; caches can be written.
. tests/faults/lib.sh
. "$TOP/tests/faults/service.lib"
script says 1.0.0 'ln -s /dev/stdout /tmp/access.log
echo "one" >/dev/stdout; echo "two" >/dev/stderr; echo "three" >>/tmp/access.log; echo "four" >/proc/self/fd/1
mkdir -p "${XDG_CACHE_HOME:-/none}/x" "${TRITON_CACHE_DIR:-/none}" && [ -n "$HOME" ] && echo "a home, and caches"
exec sleep 1000' "health: {command: \"true\"$steady}"
check "a service" install says 1.0.0
for word in one two three four "a home, and caches"; do
	check "said $word" wait_for 3 n sh -c "journalctl -q -o cat -u says | grep -qx '$word'"
done
