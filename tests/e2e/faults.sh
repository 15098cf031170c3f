#!/bin/sh
# Push and pull through a proxy that drops, stalls, truncates, corrupts, reorders, refuses, redirects
# and lies (tests/e2e/fault-proxy), at every request in turn: success after a retry, or a clear error
# with exit status 5 or 6, in bounded time; never a wrong image, never more than a chunk sent twice.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need docker-registry python3
cleanup() {
	stop_registries
	[ -z "${proxy:-}" ] || kill "$proxy" 2>/dev/null || :
}

# Short pauses and small chunks: a thousand runs, and a layer of several chunks.
export SBUILD_RETRY_BASE_MS=5 SBUILD_STALL_SECONDS=1 SBUILD_UPLOAD_CHUNK=262144
CLIENT=${SB_BUILD:-build/release}/tests/unit/remote
case $CLIENT in /*) ;; *) CLIENT=$TOP/$CLIENT ;; esac
SBUILD_HTTP=$(dirname "$(readlink -f "$SBUILD")")/sbuild-http
export CLIENT SBUILD_HTTP

start_registry faults plain REGISTRY_LOG_ACCESSLOG_DISABLED=true || exit 1
"$TOP/tests/e2e/fault-proxy" "$REGISTRY" "$T/faults" >proxy.out 2>proxy.err &
proxy=$!
wait_for_line 'listening on' proxy.out
port=$(sed 's/listening on //' proxy.out)

head -c 700000 /dev/urandom >large
head -c 100000 /dev/urandom >middle
head -c 3000 /dev/urandom >small
digest=$("$CLIENT" "$REGISTRY" image put v1 "$T/large" "$T/middle" "$T/small" 2>err)

sweep() { # push|pull COMMAND
	status=0
	"$TOP/tests/e2e/faults.py" "$1" "$port" "$REGISTRY" "$T/faults" "$digest" "$T/runs" "$2" $ONLY >"$1.out" 2>&1 || status=$?
	cat "$1.out"
	set -- "$1" $(tail -n 1 "$1.out" | tr -d ,)
	case "$*" in
	*passed*failed) passed=$((passed + $2)) failed=$((failed + $4)) ;;
	*) failed=$((failed + 1)) ;;
	esac
}
ONLY=${FAULT:-}
export T
sweep push '"$CLIENT" "$HOST" "$REPO" put v1 "$T/large" "$T/middle" "$T/small"'
sweep pull 'mkdir -p "$DIR/blobs/sha256" && "$CLIENT" "$HOST" "$REPO" get v1 "$DIR/blobs/sha256"'
[ -z "${KEEP:-}" ] || { cp -r "$T/faults" /tmp/faults.logs; cp "$T/registry-faults/log" /tmp/faults.logs/; }
check_equal "the proxy has not failed itself" "" "$(cat proxy.err)"
