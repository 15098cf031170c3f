#!/bin/sh
# Push and pull through a proxy that drops, stalls, truncates, corrupts, reorders, refuses, redirects
# and lies (tests/e2e/fault-proxy), at every request in turn: success after a retry, or a clear error
# with exit status 5 or 6, in bounded time; never a wrong image, never more than a chunk sent twice.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need docker-registry python3

# Short pauses and small chunks: a thousand runs, and a layer of several chunks.
# What is instrumented is slow itself, and no server that stalls.
export SBUILD_RETRY_BASE_MS=5 SBUILD_STALL_SECONDS=${SB_INSTRUMENTED:+4} SBUILD_UPLOAD_CHUNK=262144
export SBUILD_STALL_SECONDS="${SBUILD_STALL_SECONDS:-1}"
start_registry faults plain REGISTRY_LOG_ACCESSLOG_DISABLED=true || exit 1
start_proxy
port=${PROXY#*:}

mkdir -p files/large files/middle files/small
head -c 700000 /dev/urandom >files/large/data
head -c 100000 /dev/urandom >files/middle/data
head -c 3000 /dev/urandom >files/small/data
cat >image.yaml <<-EOF
	name: image
	from: scratch
	layers:
	  - {name: large, copy: {from: files/large, to: /large}}
	  - {name: middle, copy: {from: files/middle, to: /middle}}
	  - {name: small, copy: {from: files/small, to: /small}}

EOF
"$SBUILD" build image.yaml --tag v1 >digest 2>err
"$SBUILD" push image:v1 "$REGISTRY/image:v1" >pushed 2>err
digest=$(sed 's/.*@//' pushed)

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
# From a store of its own each, which knows of no repository to mount blobs from.
sweep push 'cp -r "$T/store" "$DIR" && "$SBUILD" push image:v1 "$HOST/$REPO:v1" --progress plain --store "$DIR/store"'
sweep pull '"$SBUILD" pull "$HOST/$REPO:v1" --progress plain --store "$DIR"'
[ -z "${KEEP:-}" ] || { cp -r "$T/faults" /tmp/faults.logs; cp "$T/registry-faults/log" /tmp/faults.logs/; }
check_equal "the proxy has not failed itself" "" "$(cat proxy.err)"
