# An argument that changes at every commit builds nothing anew but what asks for it.
. tests/faults/lib.sh
need_root
need jq
bb
cat >app.yaml <<'EOF'
name: app
from: bb.yaml
args: {BUILD_HASH: none, PORT: "1"}
layers:
  - {name: tool, run: 'echo "${BUILD_HASH-unseen} ${COMMIT-unseen} ${MODE-unseen}" >/tool', args: []}
  - {name: port, args: PORT, steps: [{run: 'echo "$PORT ${BUILD_HASH-unseen}" >/port'}]}
  - {name: hash, run: 'echo "$BUILD_HASH" >/hash'}
image: {env: {COMMIT: "${BUILD_HASH}", MODE: fast}, labels: {commit: "${BUILD_HASH}"}}
EOF
built() { "$SBUILD" build app.yaml --json "$@" | jq -r '[.layers[] | select(.cached | not) | .name] | join(" ")'; }
content() { "$SBUILD" export app --format rootfs -o - | tar -xOf - "$1"; }
check_equal "all is built at first" "tool port hash" "$(built --set BUILD_HASH=a)"
check_equal "a step without arguments sees none, nor a variable made of one" "unseen unseen fast" "$(content tool)"
check_equal "a step sees those that it names" "1 unseen" "$(content port)"
check_equal "another commit builds what sees it" hash "$(built --set BUILD_HASH=b)"
check_equal "which has it" b "$(content hash)"
check_equal "as the image has" "COMMIT=b" "$("$SBUILD" inspect app --json | jq -r '.. | strings | select(startswith("COMMIT="))' | head -n 1)"
check_equal "an argument that is named builds that layer" "port hash" "$(built --set BUILD_HASH=b --set PORT=2)"
cat >deps.yaml <<'EOF'
name: deps
from: bb.yaml
args: {BUILD_HASH: none}
layers: [{name: deps, pip: [fastapi]}]
image: {env: {COMMIT: "${BUILD_HASH}", MODE: fast}, labels: {commit: "${BUILD_HASH}"}}
EOF
key() { "$SBUILD" plan deps.yaml --json --set BUILD_HASH="$1" | jq -r '.layers[-1].key'; }
check_equal "nor is a layer of pip another one" "$(key a)" "$(key b)"
