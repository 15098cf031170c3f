#!/bin/sh
# The image of recipes/backend.yaml, run by podman and by runc as it is meant to run: as user 1000,
# and it answers over loopback.
#
# Building it from nothing takes some minutes and 5 GB: that is done with SB_TEST_SLOW=1. Without,
# the store that `make demo` filled (or SB_BACKEND_STORE) is used when only the application may have
# to be built there.
BACKEND_STORE=${SB_BACKEND_STORE:-${SBUILD_STORE:-/var/lib/sbuild}}
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
need_root
need curl jq runc skopeo
recipe=$TOP/recipes/backend.yaml
if [ "${SB_TEST_SLOW:-}" = 1 ] && [ -z "${SB_BACKEND_STORE:-}" ]; then
	BACKEND_STORE=$SBUILD_STORE
elif [ ! -d "$BACKEND_STORE" ]; then
	skip_all "no make demo here yet, and SB_TEST_SLOW is not set"
elif "$SBUILD" plan "$recipe" --store "$BACKEND_STORE" 2>/dev/null | grep -v ' app ' | grep -q '^build'; then
	skip_all "the dependencies are not in $BACKEND_STORE, and SB_TEST_SLOW is not set"
fi
"$SBUILD" plan "$recipe" --store "$BACKEND_STORE" >plan 2>&1 || cat plan
check "the image is built" "$SBUILD" "$recipe" --store "$BACKEND_STORE" --metadata-file meta
check "nothing is built the second time" sh -c '"$1" "$2" --store "$3" --metadata-file again &&
	jq -e "[.layers[] | select(.cached | not)] == []" again' sh "$SBUILD" "$recipe" "$BACKEND_STORE"
digest=$(jq -r .digest meta)
port=$((20000 + $$ % 20000)) url=http://127.0.0.1:$((20000 + $$ % 20000))
server=

cleanup() {
	[ -z "$server" ] || kill -KILL "$server" 2>/dev/null
	peer_podman rm -f -t 0 backend >/dev/null 2>&1
	runc delete -f "sbuild-backend-$$" >/dev/null 2>&1
	:
}

# It answers as the recipe says, and does the work of the model.
answers() { # WHO
	i=0
	while [ $i -lt 120 ] && [ -d "/proc/$2" ] && ! curl -s --max-time 5 -o health.json "$url/health"; do sleep 0.5 && i=$((i + 1)); done
	check "$1: GET /health" curl -sS --fail --max-time 10 -o health.json "$url/health"
	echo "$1: /health says $(cat health.json)"
	check "$1: it is healthy, with torch and the CUDA runtime" \
		jq -e '.status == "ok" and .version == "1.0.0" and (.torch | length > 3) and .cuda_runtime == true' health.json
	check "$1: POST /predict" curl -sS --fail --max-time 30 -o predict.json -H 'Content-Type: application/json' \
		-d '{"samples": [[0, 0], [1.9, -1.9], [0.1, 0.2]]}' "$url/predict"
	echo "$1: /predict says $(cut -c1-300 predict.json)"
	check "$1: inside the circle, outside, inside; with probabilities" jq -e '.classes == [1, 0, 1] and
		(.probabilities | length) == 3 and ([.probabilities[] | (add - 1) | fabs < 0.001] | all)' predict.json
	check_equal "$1: a wrong question is refused" 422 "$(curl -s -o /dev/null -w '%{http_code}' \
		-H 'Content-Type: application/json' -d '{"samples": [[1, 2, 3]]}' "$url/predict")"
	check_equal "$1: it runs as user 1000" "1000 1000" \
		"$(awk '/^[UG]id:/ { printf "%s%s", n++ ? " " : "", $3 }' "/proc/$2/status")"
}

# ---- runc, on the exported files ----

peer skopeo inspect --config "oci:${BACKEND_STORE#"$T/"}:backend:latest" >config.json 2>/dev/null ||
	"$SBUILD" inspect "$digest" --config --store "$BACKEND_STORE" >config.json
mkdir -p bundle/rootfs
check "its files are exported" sh -c '"$1" export "$2" --store "$3" --format rootfs |
	tar -C bundle/rootfs --numeric-owner -xpf -' sh "$SBUILD" "$digest" "$BACKEND_STORE"
(cd bundle && runc spec && mv config.json spec.json)
jq --slurpfile image config.json --arg port "$port" '
	$image[0].config as $config | ($config.User | split(":") | map(tonumber)) as $user |
	.process.terminal = false |
	.process.args = $config.Entrypoint + ["main:app", "--host", "127.0.0.1", "--port", $port] |
	.process.env += $config.Env | .process.cwd = $config.WorkingDir |
	.process.user = {uid: $user[0], gid: $user[1]} | .process.capabilities = {} | del(.process.rlimits) |
	.root = {path: "rootfs", readonly: true} | .hostname = "backend" |
	.linux.namespaces |= map(select(.type != "network")) |
	.mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=1777"]}]
' bundle/spec.json >bundle/config.json
(cd bundle && exec runc run "sbuild-backend-$$") >runc.log 2>&1 </dev/null &
server=$!
i=0
while [ $i -lt 100 ] && ! runc state "sbuild-backend-$$" >state.json 2>/dev/null; do sleep 0.1 && i=$((i + 1)); done
answers runc "$(runc state "sbuild-backend-$$" | jq -r .pid)"
check "nothing is said on stderr but uvicorn's own" sh -c '! grep -Ei "error|traceback" runc.log'
runc delete -f "sbuild-backend-$$" || :
wait "$server" || :
server=
rm -rf bundle

# ---- podman, from the store ----

if [ -n "${SB_PEERS:-}" ] && [ "${BACKEND_STORE#"$T"}" = "$BACKEND_STORE" ]; then
	skip "podman of SB_PEERS sees nothing outside of the scratch directory"
elif ! have_peer podman; then
	skip "podman is not installed"
else
	store=oci:$BACKEND_STORE
	check "podman pulls it from the store" peer_podman pull -q "$store:backend:latest"
	image=$(peer_podman pull -q "$store:backend:latest" | tail -n 1)
	if peer_podman run -d --name backend --runtime runc $LIMITS --network host --read-only "$image" \
		main:app --host 127.0.0.1 --port "$port" >podman.log 2>&1; then
		answers podman "$(peer_podman inspect --format '{{.State.Pid}}' backend)"
		peer_podman rm -f -t 0 backend >/dev/null
	else
		skip "podman runs nothing here: $(tail -n 1 podman.log)"
	fi
fi
