#!/bin/sh
# A registry, a mirror or a proxy that is away for a while costs that while: the work goes on by itself,
# the user sees what is waited for, Ctrl-C ends it. What is refused is refused at once. And a push that
# may not be made is told before the first step runs.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need docker-registry python3 jq
unset SBUILD_PATIENCE # the default: minutes
port=$(free_port)
R=127.0.0.1:$port
start() { start_registry away plain REGISTRY_HTTP_ADDR="$R"; }
later() { # SECONDS: the registry comes after them
	(sleep "$1" && exec env OTEL_TRACES_EXPORTER=none REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="$T/registry-away/data" \
		REGISTRY_HTTP_ADDR="$R" docker-registry serve "$T/registry-away/config.yml" >>"$T/registry-away/log" 2>&1) &
	registries="$registries $!"
	late=$!
}
gone() { kill "$late" && wait "$late" || :; } 2>/dev/null
seconds() { date +%s.%N; }
took() { echo "$(seconds) $1" | awk '{ print ($1 - $2 >= '"$2"' && $1 - $2 < '"$3"') ? "in time" : "in " $1 - $2 " s" }'; }

mkdir src
head -c 60000000 /dev/urandom >src/data
printf 'name: app\nfrom: scratch\nlayers: [{name: a, copy: {from: src, to: /}}]\n' >app.yaml
start || exit 1
"$SBUILD" app.yaml >/dev/null 2>err
check "a push" "$SBUILD" push app "$R/team/base:v1"
stop_registry away

# ---- away at the beginning

began=$(seconds)
later 4
check "a pull waits for the registry" sh -c '"$SBUILD" pull "$1" --store "$2" 2>said' sh "$R/team/base:v1" "$T/pulled"
check_equal "as long as it takes" "in time" "$(took "$began" 3 20)"
check "it says what it waits for" has said "registry $R: .*(can't connect|nobody listens).*; waiting for it for 2 min .* more at most"
check "once" test "$(grep -c 'waiting for it' said)" = 1
check "and that it is over" has said "registry $R: it answers again"
gone
later 4
check "a push waits, too" sh -c '"$SBUILD" push app "$1" --progress json 2>said' sh "$R/team/other:v1"
check "JSON has it as an event" sh -c 'grep "^{" said | jq -e "select(.event == \"waiting\") | .message" | grep -q "waiting for it"'
gone

# ---- away in the middle

later 0
SBUILD_UPLOAD_CHUNK=1048576
export SBUILD_UPLOAD_CHUNK
wait_for_line 'listening on' "$T/registry-away/log"
for _ in $(seq 50); do
	! curl -sf "http://$R/v2/" >/dev/null || break
	sleep 0.1
done
head -c 60000000 /dev/urandom >src/data
"$SBUILD" app.yaml >/dev/null 2>err
before=$(registry_log away | grep -c '"PATCH.* 202' || :)
"$SBUILD" push app "$R/team/middle:v1" >said 2>&1 &
push=$!
for _ in $(seq 200); do
	[ "$(registry_log away | grep -c '"PATCH.* 202' || :)" -le $((before + 5)) ] || break
	sleep 0.05
done
gone
check "it is in the middle" kill -0 $push
later 3
check "a push whose registry restarts succeeds" wait $push
patches=$(($(registry_log away | grep -c '"PATCH.* 202' || :) - before))
check "and what the registry had was not sent again ($patches chunks of 58)" test "$patches" -le 70
unset SBUILD_UPLOAD_CHUNK
check "what is there is whole" "$SBUILD" pull "$R/team/middle:v1" --store "$T/pulled"
gone

# ---- Ctrl-C, settings

began=$(seconds)
status=0
timeout -s INT 3 "$SBUILD" pull "$R/team/base:v1" --store "$T/interrupted" >said 2>&1 || status=$?
check_equal "Ctrl-C ends the waiting at once" "in time" "$(took "$began" 2.5 5)"
check "by the signal" test "$status" = 124 -o "$status" = 130
check_fails "no patience" 5 env SBUILD_PATIENCE=0s "$SBUILD" pull "$R/team/base:v1"
settings <<END
patience: 2s
END
began=$(seconds)
check_fails "patience in the settings" 5 "$SBUILD" pull "$R/team/base:v1" --store "$T/short"
check_equal "is how long it takes" "in time" "$(took "$began" 1.9 6)"
check_said 'after [0-9]+ attempts in [0-9.]+ s: .*'
settings <<END
patience: soon
END
check_fails "patience is a duration" 3 "$SBUILD" pull "$R/team/base:v1"
unset XDG_CONFIG_HOME

# ---- mirrors: one that is away costs nothing where another answers

later 0
for _ in $(seq 50); do
	! curl -sf "http://$R/v2/" >/dev/null || break
	sleep 0.1
done
settings <<END
registries: {"$R": {mirrors: ["http://127.0.0.1:1", "http://$R/gone"]}}
END
began=$(seconds)
check "a mirror that is away" "$SBUILD" pull "$R/team/base:v1" --store "$T/mirrored"
check_equal "costs nothing" "in time" "$(took "$began" 0 8)"
dead=127.0.0.1:$(free_port)
settings <<END
registries: {"$dead": {mirrors: ["http://$R"]}}
END
began=$(seconds)
check "a registry that is away, with a mirror that isn't" "$SBUILD" pull "$dead/team/base:v1" --store "$T/mirrored2"
check_equal "costs nothing, either" "in time" "$(took "$began" 0 8)"
gone
later 3
check "all of them away" "$SBUILD" pull "$dead/team/base:v1" --store "$T/mirrored3"
unset XDG_CONFIG_HOME
gone

# ---- what is refused is refused at once

start_registry closed htpasswd || exit 1
closed=$REGISTRY
busybox_base
cat >steps.yaml <<-EOF2
	name: steps
	from: {recipe: base.yaml}
	image: {repository: "$closed/team/steps"}
	layers: [{name: slow, run: "touch /ran && echo it runs"}]
EOF2
HOME=$T/nobody
export HOME
mkdir -p "$HOME"
began=$(seconds)
check_fails "a pull without credentials" 5 "$SBUILD" pull "$closed/team/app:v1" --store "$T/refused"
check_equal "is refused at once" "in time" "$(took "$began" 0 3)"
check_fails "a build that may not push" 5 "$SBUILD" steps.yaml --push --metadata-file facts.json --progress plain
check_said 'pushing steps: .*needs credentials'
check_said 'sbuild login'
check "no step has run" sh -c '! grep -q "it runs" said'
check_equal "the metadata say what ended it" "NETWORK 5 steps null" "$(jq -r '(.error.code | ascii_upcase) + " \(.error.status) " + .name + " \(.digest)"' facts.json)"
check_equal "and what there is" busybox "$(jq -r '.layers[].name' facts.json)"
auth=$(printf 'worker:%s' "$REGISTRY_PASSWORD" | base64 -w0)
mkdir -p "$HOME/.docker"
printf '{"auths": {"%s": {"auth": "%s"}}}' "$closed" "$auth" >"$HOME/.docker/config.json"
check "one that may" "$SBUILD" steps.yaml --push --metadata-file facts.json
check_equal "its metadata" "null 1" "$(jq -r '"\(.error) \(.pushed | length)"' facts.json)"
: >"$T/registry-closed/log"
check "once more" "$SBUILD" steps.yaml --push
check_equal "nothing is asked for that isn't needed" "HEAD" "$(registry_log closed | grep -v ' 401 ' | cut -d'"' -f2 | cut -d' ' -f1 | sort -u)"
stop_registry closed
check_fails "a push that fails at the end" 5 env SBUILD_PATIENCE=0s "$SBUILD" steps.yaml --push --metadata-file facts.json
check_equal "has the image in the metadata" "steps true 5" "$(jq -r '.name + " \(.digest | startswith("sha256:")) \(.error.status)"' facts.json)"
