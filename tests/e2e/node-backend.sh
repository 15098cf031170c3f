#!/bin/sh
# The backend that ships, from a registry to healthy answers on a node, and its second release. Its 2 GB
# of dependencies aren't built here: SB_BACKEND_STORE names a store that has them
# (sbuild recipes/backend.yaml --store DIR).
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
. "$TOP/tests/e2e/node.lib"
need_nodes
need jq curl python3
store=${SB_BACKEND_STORE:-/var/tmp/bench-store}
cp -r "$TOP/recipes" recipes
sed -i "s/^tags:.*/tags: [semver]/" recipes/*.yaml # a copy is no checkout
[ -e "$store/oci-layout" ] && "$SBUILD" plan recipes/backend.yaml --store "$store" --json >plan.json 2>/dev/null &&
	! "$SBUILD" plan recipes/backend.yaml --store "$store" 2>/dev/null | grep -qv '^cached' ||
	skip_all "no store has the backend's dependencies (SB_BACKEND_STORE)"
start_registry main
PORT=$(free_port)
n() { node_run one "$@"; }
release() { # VERSION
	"$SBUILD" bundle recipes/backend.yaml --store "$store" --set PORT="$PORT" --set VERSION="$1" \
		-t "$REGISTRY/team/backend:v$1" --push --progress plain >out 2>err || cat err
}
health() { curl -s -m 5 "http://127.0.0.1:$PORT/health"; }
boot_node one
n sh -c 'mknod -m 666 /dev/nvidia0 c 1 3; mknod -m 666 /dev/nvidiactl c 1 3' 2>/dev/null || :

release 1.0.0
began=$(date +%s)
n sbuild install "$REGISTRY/team/backend:v1.0.0" --wait=120s >out 2>&1 || { cat out && exit 1; }
echo "node-backend: installed in $(($(date +%s) - began)) s"
health >health.json || :
check "it answers" jq -e .status health.json
cat health.json
pid=$(n systemctl show -P MainPID backend)
check_equal "as its user" 1000 "$(n stat -c %u "/proc/$pid")"
if n test -e /dev/nvidia0; then
	check "it sees its GPU" n nsenter -t "$pid" -m -r /bin/sh -c 'test -c /dev/nvidia0'
else
	skip "no device nodes can be made here"
fi
check "no container runtime is between" n sh -c "grep -q 'system.slice/backend.service' /proc/$pid/cgroup"

watch() { python3 "$TOP/tests/e2e/downtime.py" "$PORT" "$T/line" /health & watcher=$!; sleep 0.3; }
watched() {
	kill "$watcher" && wait "$watcher" || :
	check "the client had answers" grep -q status line
}
watch
n systemctl restart backend
for _ in $(seq 200); do health >/dev/null && break; sleep 0.1; done
sleep 0.3
watched
own=$(cut -d' ' -f1 line)
echo '# one more line' >>recipes/backend/main.py
release 1.1.0
sent=$(registry_sent main)
watch
check "the second release" n sbuild install "$REGISTRY/team/backend:v1.1.0" --wait=120s
sleep 0.3
watched
down=$(cut -d' ' -f1 line)
fetched=$(($(registry_sent main) - sent))
check "fetches less than 64 KB ($fetched)" test "$fetched" -lt 65536
check "nobody answered for $down ms, its own restart takes $own ms" test "$down" -le $((own * 5 / 4 + 200))
check_equal "the new version" 1.1.0 "$(health | jq -r '.version // .app_version // empty')"
began=$(date +%s%N)
check "rollback" n sbuild rollback backend --wait=120s
echo "node-backend: gap $down ms, own restart $own ms, rollback $((($(date +%s%N) - began) / 1000000)) ms"
check "it answers" health
