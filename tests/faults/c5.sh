# A layer of packages depends on everything below it: what their scripts look at, nobody can tell.
. tests/faults/lib.sh
need_root
need jq
bb
mkdir src
printf 'name: app\nfrom: bb.yaml\nlayers: [{name: src, copy: {from: src, to: /app}}, {name: packages, apt: [curl]}]\n' >app.yaml
key() { # of the packages, over a source that says so: the source's layer is built, that of packages can't be
	echo "$1" >src/a
	"$SBUILD" build app.yaml --until src >/dev/null 2>&1
	"$SBUILD" plan app.yaml --json | jq -r '.layers[] | select(.name == "packages") | .key'
}
first=$(key 1)
check "another source, another key" sh -c "[ '$first' != '$(key 2)' ]"
check_equal "the same source, the same key" "$first" "$(key 1)"
