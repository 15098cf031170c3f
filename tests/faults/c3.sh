# What sbuild itself writes into the context is no input of the next build.
. tests/faults/lib.sh
need_root
need jq
bb
mkdir app
cat >app/app.yaml <<'EOF'
name: app
from: ../bb.yaml
layers: [{name: all, copy: {from: ., to: /app}}]
image: {cmd: [/bin/true]}
service: {}
EOF
mkdir .git # so that it is one project
cd app
: >keep.txt
"$SBUILD" build app.yaml --metadata-file build.json >/dev/null 2>&1
first=$(jq -r .digest build.json)
again() { "$SBUILD" build app.yaml "$@" 2>/dev/null | tail -n 1; }
check_equal "the facts of a build" "$first" "$(again --metadata-file build.json)"
check_equal "without the option, too" "$first" "$(again)"
"$SBUILD" export app -o image.tar >/dev/null 2>&1
check_equal "an archive of the image" "$first" "$(again)"
"$SBUILD" bundle app.yaml --units units -o bundle.tar >/dev/null 2>&1
check_equal "a bundle and its units" "$first" "$(again)"
"$SBUILD" build app.yaml >build.log 2>&1
check_equal "a log that the shell wrote to" "$first" "$(again)"
"$SBUILD" build app.yaml --store store >/dev/null 2>&1
check_equal "another store" "$first" "$(again)"
check "a plan says so, and what was left out" sh -c "'$SBUILD' plan app.yaml 2>&1 | grep -q 'which sbuild wrote'"
check_equal "and finds all cached" "cached cached" "$("$SBUILD" plan app.yaml --json 2>/dev/null | jq -r '[.layers[].state] | join(" ")')"
echo mine >build.json
echo mine >units/mine
check "a file of that name that is somebody's own is an input" sh -c "[ '$first' != '$(again)' ]"
check_equal "with all others that are" "app/app.yaml app/build.json app/keep.txt app/units/mine" \
	"$("$SBUILD" export app --format rootfs -o - | tar -tf - | grep '^app/.*[^/]$' | sort | xargs)"
