# What an image has to have, and what it must not take over in silence.
. tests/faults/lib.sh
need python3 jq
printf 'name: none\nfrom: scratch\n' >none.yaml
check_fails "an image without layers" 3 "$SBUILD" build none.yaml
check "it says so" has said 'no layer'
layout layout base file=content -- 'config["config"] = {"OnBuild": ["RUN make", "copy . /app", "X\\u001b[1m", 3], "Healthcheck": {"Test": ["CMD", "x"]}, "Cmd": ["a"], "Entrypoint": ["b"]}'
printf 'name: app\nfrom: {image: "oci:layout:base"}\nlayers: [{name: a, copy: {from: app.yaml, to: /a}}]\nimage: {entrypoint: [c]}\n' >app.yaml
check "a base with triggers" build app
check "it says that nobody runs them" has app.out 'warning: .*app.yaml:2: .*4 ONBUILD'
check "and names them, and what says the same" has app.out '"RUN make" .a run step., "copy . /app" .a copy step., "X.u001b\[1m", ""'
check_equal "the base's health check stays" '["CMD","x"]' "$("$SBUILD" inspect app --config | jq -c .config.Healthcheck.Test)"
check_equal "they are not passed on; an entrypoint clears the base's cmd, as docs/recipe.md says" '{"Entrypoint":["c"]}' \
	"$("$SBUILD" inspect app --config | jq -c '.config | {OnBuild, Cmd, Entrypoint} | with_entries(select(.value))')"
check "as it does" grep -q '`entrypoint`.*`cmd`' "$TOP/docs/recipe.md"
printf 'name: push\nfrom: scratch\nlayers: [{name: a, copy: {from: push.yaml, to: /a}}]\n' >push.yaml
build push
check_fails "a name in capitals" '[25]' "$SBUILD" push push registry.example.com/DOCKER/docker:v1
check "is told what is wrong with it" has said 'DOCKER'
