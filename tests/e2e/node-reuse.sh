#!/bin/sh
# What releases have in common is on a node's disk once: files of a layer that changed a little are
# shared with the layer before, packed layers do not stay, and going back still finds every byte.
. tests/e2e/node-service.lib
PORT=$(free_port)
make_service web "$PORT"
sed -i 's|layers: \[|&{name: libraries, copy: {from: libraries, to: /opt}}, |' web.yaml
web=$REPOSITORY/web
FILES=400
mkdir -p libraries/a libraries/b
for i in $(seq $FILES); do printf '%0*d' $((i * 20)) "$i" >"libraries/a/$i"; done
head -c 6000000 /dev/urandom >libraries/b/large
head -c 3000000 /dev/urandom >libraries/b/grown
store=$T/node-one/store
generation() { n sbuild status web --json | jq -r '.services[0].generation'; }
layers_of() { jq -r '.layers[].digest' "$store/sbuild/services/web/$1/description.json" | cut -d: -f2; }
layer_blobs() { for digest in $(layers_of "$1"); do ls "$store/blobs/sha256/$digest" 2>/dev/null || :; done; }
layer() { echo "$store/$(jq -r '.trees[-2]' "$store/sbuild/services/web/$1/record.json")/fs"; } # the libraries
bytes_of() { (cd "$1" && find . -type f -exec sha256sum {} + | sort -k 2 && find . -printf '%P %y %m %U:%G %T@\n' | sort) | sha256sum; }
trees_take() { du -cs -B1 "$store"/sbuild/trees/*/fs | tail -n 1 | cut -f1; }
disk() { n sbuild status --json | jq .disk.bytes; }

# ---- the first ----

release web 1.0.0 >/dev/null 2>err || cat err
boot_node one
n sbuild install "$web:v1.0.0" --json >one.json || cat one.json
check_equal "it serves" 1.0.0 "$(ask "$PORT")"
check_equal "nothing is there to share" 0 "$(jq .reused.files one.json)"
check_equal "of its layers no blob stays" "" "$(layer_blobs 1)"
check "but what describes it does" test -e "$store/blobs/sha256/$(jq -r .bundle one.json | cut -d: -f2)"
first=$(layer 1)
check "its tree is there" test -d "$first/opt/a"
exact=$(bytes_of "$first")
check_equal "status counts what du does" "$(trees_take)" "$(disk)"

# ---- one file of a layer changes ----

printf 'other' | dd of=libraries/a/7 conv=notrunc status=none
printf 'other' | dd of=libraries/b/grown bs=1 seek=2999990 conv=notrunc status=none
release web 1.1.0 >/dev/null 2>err || cat err
before=$(trees_take)
n sbuild install "$web:v1.1.0" >said 2>&1 || cat said
check "install says what is shared" grep -q "web: $((FILES - 1 + 2)) files shared with generations before (.* MB)" said
check_equal "it serves" "2 1.1.0" "$(generation) $(ask "$PORT")"
second=$(layer 2)
check "it is another tree" test "$first" != "$second"
check_equal "an unchanged file is one for both" "$(stat -c '2 %i' "$first/opt/a/8")" "$(stat -c '%h %i' "$second/opt/a/8")"
check_equal "so is a large one" "$(stat -c '2 %i' "$first/opt/b/large")" "$(stat -c '%h %i' "$second/opt/b/large")"
check_equal "a changed one is not" "1 1" "$(stat -c %h "$first/opt/a/7" "$second/opt/a/7" | tr '\n' ' ' | sed 's/ $//')"
check "all of it is what was released" diff -r libraries "$second/opt"
check "the service sees it" n sh -c 'head -c 5 /run/sbuild/web/2/opt/a/7 | grep -q other'
after=$(trees_take)
check "the disk has hardly more ($before, then $after bytes)" test $((after - before)) -lt 4000000
check_equal "status counts what du does" "$after" "$(disk)"
check_equal "also when asked again, for the service" "$after" "$(n sbuild status web --json | jq '.services[0].disk.bytes')"
check_equal "no blob of a layer stays" "" "$(layer_blobs 2)"

# ---- back ----

check "rollback" n sbuild rollback web
check_equal "the first serves again" "1 1.0.0" "$(generation) $(ask "$PORT")"
check_equal "to the last byte and time" "$exact" "$(bytes_of "$first")"
check "the same again is there already" n sbuild install "$web:v1.1.0"
check "prune" n sbuild prune
check_equal "both are still there" "$exact $after" "$(bytes_of "$first") $(disk)"
kill_node one
boot_node one
check_equal "also after a reboot" "1.1.0" "$(served "$PORT")"

# ---- anew ----

n sbuild uninstall web >out 2>&1 || cat out
n sbuild prune --json >pruned.json
freed=$(jq '.removed.trees.bytes' pruned.json)
check "prune says what it freed ($freed of $after bytes)" test "$freed" -ge "$after" -a "$freed" -lt $((after + 100000))
check_equal "no tree is left" "" "$(ls "$store/sbuild/trees")"
check "what is gone is fetched again" n sbuild install "$web:v1.1.0"
check_equal "it serves" 1.1.0 "$(ask "$PORT")"
n sbuild pull "$web:v1.0.0" >out 2>&1 || cat out
check "install what was pulled" n sbuild install "$web:v1.0.0"
check_equal "it serves" 1.0.0 "$(ask "$PORT")"
check_equal "what has a tag stays" "$(layers_of 2 | wc -l)" "$(layer_blobs 2 | wc -l)"
n sbuild uninstall web >/dev/null 2>&1

# ---- layers that say more than their trees ----

PORT=$(free_port)
make_service odd "$PORT" 'directories: {state: /data}'
odd() { python3 "$TOP/tests/e2e/layers-odd.py" "$@"; }
# Directories that the second only implies; of whiteouts alone, also where mount points are; a file in place of one.
odd image layout "d 5 700, d/e 5 711, d/e/f 0 644, w 5 701, gone 5 755, gone/x 0 644, file 0 600" \
	"d/e/g 0 644, n/.wh.x 0 0, w/deep/.wh.x 0 0, .wh.gone 0 0, file/.wh.x 0 0, /data/.wh.x 0 0, /proc/.wh.x 0 0, /.sbuild/.wh.x 0 0, a 0 644, b 1 644 t/a, a 5 755"
printf 'name: base\nfrom: {image: "oci:layout:odd"}\nlayers: [{name: busybox, copy: {from: rootfs, to: /}}]\n' >odd-base.yaml
sed -i 's|^from: .*|from: odd-base.yaml|' odd.yaml
release odd 1.0.0 >/dev/null 2>err || cat err
"$SBUILD" export oci:layout:odd --format rootfs -o odd.tar >/dev/null 2>err || cat err
odd tar odd.tar >expected
seen() { # GENERATION: of the root that its service has
	n sh -c "cd /run/sbuild/odd/$1 && find t -mindepth 1 | while read -r path; do
		link=; ! [ -h \$path ] || link=\$(readlink \$path); stat -c \"%n|%F|%a|%s|%t:%T|\$link\" \$path; done" >listing
	odd listing listing
}
check "an image of odd layers is installed" n sbuild install "$REPOSITORY/odd:v1.0.0"
check_equal "it serves" 1.0.0 "$(ask "$PORT")"
check "there are such" grep -q '^t/d d 700$' expected
seen 1 >found
check "its root is what export says" diff expected found
check "prune" n sbuild prune
release odd 1.1.0 >/dev/null 2>err || cat err
check "the next one" n sbuild install "$REPOSITORY/odd:v1.1.0"
seen 2 >found
check "has the same" diff expected found
kill_node one
boot_node one
check_equal "also after a reboot" "1.1.0" "$(served "$PORT")"
seen 2 >found
check "it is the same" diff expected found
