# One layer can be built anew, and a build can end with one.
. tests/faults/lib.sh
need_root
need jq
bb
cat >app.yaml <<'EOF'
name: app
from: bb.yaml
args: {WHEN: "1"}
layers:
  - {name: first, run: 'cat /proc/sys/kernel/random/uuid >/first'}
  - {name: second, run: 'cat /proc/sys/kernel/random/uuid >/second'}
  - {name: third, run: 'true'}
EOF
built() { "$SBUILD" build app.yaml --json "$@" | jq -r '[.layers[] | select(.cached | not) | .name] | join(" ")'; }
build app
check_equal "one layer is built anew, and what stands on another result" "second third" "$(built --no-cache=second)"
check_equal "the next build takes it" "" "$(built)"
check_equal "a layer of the recipe below" "busybox" "$(built --no-cache=bb/busybox)"
check_fails "no such layer" 2 "$SBUILD" build app.yaml --no-cache=secnod
check_said 'did you mean second'
check_fails "no such layer to end with" 2 "$SBUILD" plan app.yaml --until app/fist
check_said 'did you mean app/first'
check_fails "no name at all" 2 "$SBUILD" build app.yaml --no-cache=
tags=$("$SBUILD" images --json)
"$SBUILD" build app.yaml --until first --set WHEN=2 --json >json 2>/dev/null
check_equal "a build ends with a layer" "busybox first" "$(jq -r '[.layers[].name] | join(" ")' json)"
check_equal "and moves no tag" "$tags" "$("$SBUILD" images --json)"
"$SBUILD" build app.yaml --until first --tag part >/dev/null 2>&1
check_equal "but the one that is asked for" "latest part" "$("$SBUILD" images --json | jq -r '.[] | select(.name == "app") | .tags[]' | sort | xargs)"
check_equal "with these layers alone" "first" "$("$SBUILD" ls app:part | grep -oE '(first|second)$' | xargs)"
check_equal "plan says the same" "busybox first" "$("$SBUILD" plan app.yaml --until first --json | jq -r '[.layers[].name] | join(" ")')"
check_equal "plan says what is built anew, and why" "second build --no-cache=second" \
	"$("$SBUILD" plan app.yaml --no-cache=second --json | jq -r '.layers[] | select(.name == "second") | .name + " " + .state + " " + .cause')"
check_equal "a layer of the base ends it there" "busybox" "$("$SBUILD" build app.yaml --until busybox --json 2>/dev/null | jq -r '[.layers[].name] | join(" ")')"
