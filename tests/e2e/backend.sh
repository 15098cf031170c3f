#!/bin/sh
# The image of recipes/backend.yaml, run by runc and by podman as it is meant to run: as user 1000,
# and it answers over loopback.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
. "$TOP/tests/e2e/backend.lib"
need_backend
cleanup() {
	stop_in_runc
	peer_podman rm -f -t 0 backend >/dev/null 2>&1
}
check "nothing is built the second time" sh -c '"$1" "$2" --store "$3" --metadata-file again &&
	jq -e "[.layers[] | select(.cached | not)] == []" again' sh "$SBUILD" "$TOP/recipes/backend.yaml" "$BACKEND_STORE"
port=$(free_port) url=http://127.0.0.1:$port

# It answers as the recipe says, and does the work of the model.
answers() { # WHO PID
	for _ in $(seq 120); do
		[ -d "/proc/$2" ] && ! curl -s --max-time 5 -o health.json "$url/health" || break
		sleep 0.5
	done
	check "$1: GET /health" curl -sS --fail --max-time 10 -o health.json "$url/health"
	note "$1: /health says $(cat health.json)"
	check "$1: it is healthy, with torch and the CUDA runtime" \
		jq -e '.status == "ok" and .version == "1.0.0" and (.torch | length > 3) and .cuda_runtime == true' health.json
	check "$1: POST /predict" curl -sS --fail --max-time 30 -o predict.json -H 'Content-Type: application/json' \
		-d '{"samples": [[0, 0], [1.9, -1.9], [0.1, 0.2]]}' "$url/predict"
	check "$1: inside the circle, outside, inside; with probabilities" jq -e '.classes == [1, 0, 1] and
		(.probabilities | length) == 3 and ([.probabilities[] | (add - 1) | fabs < 0.001] | all)' predict.json
	check_equal "$1: a wrong question is refused" 422 "$(curl -s -o /dev/null -w '%{http_code}' \
		-H 'Content-Type: application/json' -d '{"samples": [[1, 2, 3]]}' "$url/predict")"
	check_equal "$1: it runs as user 1000" "1000 1000" \
		"$(awk '/^[UG]id:/ { printf "%s%s", n++ ? " " : "", $3 }' "/proc/$2/status")"
}

# ---- runc, on the exported files ----

start_in_runc "$BACKEND" "$port"
answers runc "$container_pid"
check "nothing is said on stderr but uvicorn's own" sh -c '! grep -Ei "error|traceback" runc.log'
stop_in_runc

# ---- podman, from the store ----

if ! have_peer podman; then
	skip "podman is not installed"
else
	check "podman pulls it from the store" peer_podman pull -q oci:store:backend:latest
	image=$(tail -n 1 .check)
	if peer_podman run -d --name backend --runtime runc $LIMITS --network host --read-only "$image" \
		main:app --host 127.0.0.1 --port "$port" >podman.log 2>&1; then
		answers podman "$(peer_podman inspect --format '{{.State.Pid}}' backend)"
		peer_podman rm -f -t 0 backend >/dev/null
	else
		skip "podman runs nothing here: $(tail -n 1 podman.log)"
	fi
fi
