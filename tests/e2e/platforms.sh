#!/bin/sh
# One recipe, two platforms: steps of the other one run emulated; one index, joined by whoever builds one alone.
# shellcheck disable=SC2016 # $ belongs to the recipes
. tests/e2e/lib.sh
. "$TOP/tests/e2e/emulation.lib"
. "$TOP/tests/e2e/peers.lib"
. "$TOP/tests/e2e/registry.lib"
need python3 crun
start_emulation
busybox_root "root-$OWN" && mv other-root "root-$OTHER"
mkdir src && echo one >src/main.txt
cat >app.yaml <<'END'
name: app
platforms: [linux/amd64, linux/arm64]
from: scratch
stages:
  - name: tools
    from: scratch
    layers: [{name: root, copy: {from: "root-${PLATFORM_ARCH}", to: /}}]
  - name: front
    platform: build
    from: {stage: tools}
    layers: [{name: make, run: uname -m >/out, inputs: [{from: src, to: /in}]}]
  - name: cross
    platform: build
    from: {stage: tools}
    layers: [{name: make, run: echo $(uname -m) for $PLATFORM_ARCH >/out}]
layers:
  - {name: root, copy: {from: "root-${PLATFORM_ARCH}", to: /}}
  - {name: app, copy: {from: src, to: /app}}
  - {name: warm, run: "{ uname -m; ls /kept; touch /kept/$PLATFORM_ARCH; } >/warm", cache: [/kept]}
  - {name: front, copy: {stage: front, from: /out, to: /front}}
  - {name: cross, copy: {stage: cross, from: /out, to: /cross}}
  - {name: arm, when: {PLATFORM_ARCH: arm64}, copy: {from: src/main.txt, to: /arm}}
image: {cmd: [cat, /warm]}
test:
  - run: test "$(head -n 1 /warm)" = "$(uname -m)"
END
run() { { "$SBUILD" run --progress plain "$@" 2>run.err || tail -n 5 run.err; } | paste -sd " "; }
kernel() { case $1 in amd64) echo x86_64 ;; arm64) echo aarch64 ;; esac }
cat >index.py <<'END'
import json, sys
name, store = sys.argv[1:]
def blob(digest):
    return json.load(open(f"{store}/blobs/sha256/{digest[7:]}"))
tagged = json.load(open(store + "/index.json"))["manifests"]
entry, = [e for e in tagged if e["annotations"]["org.opencontainers.image.ref.name"] == name]
for m in blob(entry["digest"]).get("manifests", []):
    layers = [l["annotations"]["dev.sbuild.layer.name"] + "=" + l["digest"] for l in blob(m["digest"])["layers"]]
    print(m["platform"]["os"] + "/" + m["platform"]["architecture"], m["digest"], *layers)
END
index_of() { python3 index.py "$1" "${2:-$SBUILD_STORE}"; }

# ---- both at once ----

digest=$("$SBUILD" app.yaml --progress plain --metadata-file meta 2>err) || tail -n 20 err
index_of app:latest >index
check_equal "the tag names an index of both" "linux/amd64 linux/arm64" "$(awk '{ print $1 }' index | paste -sd ' ')"
check "progress tells the platform" grep -q "built app linux/$OTHER warm" err
check_equal "tests run in the image of each" 2 "$(grep -c 'passed app linux/a[mr][md]64 test 1' err)"
check_equal "the image for this machine" "$(kernel $OWN)" "$(run app)"
check_equal "and the other" "$(kernel $OTHER)" "$(run --platform linux/$OTHER app)"
check_equal "of a recipe, too" "$(kernel $OTHER)" "$(run --platform linux/$OTHER app.yaml)"
check_equal "a layer that is the same on both is one blob" 1 "$(tr ' ' '\n' <index | grep app= | sort -u | wc -l)"
check_equal "… and packed once" 1 "$(grep -c 'built app linux/[a-z0-9]* app ' err)"
check_equal "a layer may be of one" 1 "$(tr ' ' '\n' <index | grep -c '^arm=')"
check_equal "a stage of the build's platform runs here" "$(kernel $OWN)" "$(run --platform linux/$OTHER app cat /front)"
check_equal "… once for all" 1 "$(grep -c 'built app/front linux/[a-z0-9]* make' err)"
check_equal "but where it asks what for" "$(kernel $OWN) for $OTHER" "$(run --platform linux/$OTHER app cat /cross)"
check_equal "the facts have each" "linux/amd64 linux/arm64" "$(python3 -c '
import json
facts = json.load(open("meta"))
assert facts["media_type"].endswith("index.v1+json") and all(p["layers"] and p["tests"] for p in facts["platforms"])
print(*[p["platform"] for p in facts["platforms"]])')"
check_equal "once more nothing is done" "$digest" "$("$SBUILD" app.yaml --progress plain 2>again)"
check "… at all" test -z "$(grep built again | grep -v ' 0 of ')"
check_equal "another store makes the same" "$digest" "$("$SBUILD" app.yaml --store other 2>err)"

if command -v newuidmap >/dev/null; then
	test_user
	chmod -R a+rX .
	check_equal "a user makes the same" "$digest" "$(as_user "$SBUILD" app.yaml --store "$T/home/store" 2>err || tail -n 5 err)"
else
	skip "newuidmap is not installed"
fi

# ---- one alone ----

echo two >src/main.txt
before=$(sed -n "s|^linux/$OTHER \([^ ]*\).*|\1|p" index)
"$SBUILD" app.yaml --platform linux/$OWN --progress plain >one 2>err || tail -n 20 err
check "only that one is built" test -z "$(grep "linux/$OTHER" err)"
check_equal "it joins the index, where the other stays" "$before" "$(index_of app:latest | sed -n "s|^linux/$OTHER \([^ ]*\).*|\1|p")"
check "… and takes its place" test "$(index_of app:latest | grep "^linux/$OWN")" != "$(grep "^linux/$OWN" index)"
"$SBUILD" app.yaml --platform linux/$OTHER >two 2>err || tail -n 20 err
check_equal "what came one by one is what comes at once" "$("$SBUILD" app.yaml 2>err)" "$(cat two)"
for n in 1 2 3; do
	echo "$n" >src/main.txt
	"$SBUILD" app.yaml --platform linux/$OWN --skip-tests >/dev/null 2>err1 &
	first=$!
	"$SBUILD" app.yaml --platform linux/$OTHER --skip-tests >/dev/null 2>err2 || tail -n 5 err2
	wait $first || tail -n 5 err1
done
check_equal "two at the same time both are in it" "$("$SBUILD" app.yaml 2>err)" "$(python3 -c '
import json
print(*[e["digest"] for e in json.load(open("store/index.json"))["manifests"] if e["annotations"]["org.opencontainers.image.ref.name"] == "app:latest"])')"
check_equal "the caches of each are its own" "$(kernel $OTHER) $OTHER" "$({ "$SBUILD" app.yaml --no-cache=warm 2>&1 >/dev/null || :; } | grep error: -A 9 || :; run --platform linux/$OTHER app)"
sed 's/^name: app/name: dated/; 2i tags: [date]' app.yaml >dated.yaml
"$SBUILD" dated.yaml --skip-tests >/dev/null 2>err && sleep 1.1
check "one alone that was built before" "$SBUILD" dated.yaml --platform linux/$OTHER --skip-tests
check_equal "… is no younger for that" 1 "$(grep -o '"dated:[0-9-]*"' store/index.json | wc -l)"
check_fails "one that the recipe is not for" 2 "$SBUILD" app.yaml --platform linux/s390x
check_said 'app.yaml is for linux/amd64, linux/arm64'
check_fails "one that is none" 2 "$SBUILD" app.yaml --platform linux/x86_64
check_said 'did you mean linux/amd64'
check "a part of each" "$SBUILD" app.yaml --until app --tag part
check_equal "… is an index, too" 2 "$(index_of app:part | wc -l)"

# ---- without an emulator ----

if without_handlers true; then
	check "what is there needs none" without_handlers "$SBUILD" app.yaml
	printf 'name: copies\nplatforms: [linux/amd64, linux/arm64]\nfrom: scratch\nlayers: [{name: app, copy: {from: src, to: /app}}]\n' >copies.yaml
	check "nor do copies" without_handlers "$SBUILD" copies.yaml
	check_fails "what has to run can't" 1 without_handlers "$SBUILD" app.yaml --store fresh --progress plain
	check_said "runs no programs of linux/$OTHER"
	check_said 'app.yaml:[0-9]*:[0-9]*: the layer warm'
	check_said 'qemu-user-static'
	check "… and nothing was run" test -z "$(grep 'building.*warm' said)"
	check_fails "a plan says so" 1 without_handlers "$SBUILD" plan app.yaml --store fresh
	check_said 'the layer warm'
	check "the other platform can be" without_handlers "$SBUILD" plan app.yaml --store fresh --platform linux/$OWN
	check_fails "nor can it be started" 125 without_handlers "$SBUILD" run --platform linux/$OTHER app
	check_said 'runs no such programs'
	check_fails "an emulator that is outside the root" 1 with_bad_handler "$SBUILD" app.yaml --store fresh
	check_said 'flag F'
else
	skip "there is no place without handlers here (Linux 6.7)"
fi

# ---- what it stands on ----

cp -r store layout
printf 'name: top\nplatforms: [linux/amd64, linux/arm64]\nfrom: "oci:layout:app:latest"\nlayers: [{name: more, copy: {from: src, to: /more}}]\n' >top.yaml
check "an index is a base for each" "$SBUILD" top.yaml
check_equal "… each on its own" "$(kernel $OTHER) $OTHER" "$(run --platform linux/$OTHER top)"
sed -i /platforms/d top.yaml
check_fails "what the base is not for" 1 "$SBUILD" top.yaml --platform linux/s390x
check_said 'top.yaml:2:7: the base oci:layout:app:latest: .*not made for linux/s390x'
printf 'name: lone\nfrom: scratch\nlayers: [{name: app, copy: {from: src, to: /app}}]\n' >lone.yaml
"$SBUILD" lone.yaml --platform linux/s390x >/dev/null 2>err || tail -n 5 err
check_equal "a recipe for any, for one that was asked for" s390x "$("$SBUILD" inspect lone --config | python3 -c 'import json, sys; print(json.load(sys.stdin)["architecture"])')"
printf 'name: on\nfrom: {image: lone}\nlayers: [{name: more, copy: {from: src, to: /more}}]\n' >on.yaml
check_fails "a base of another architecture" 3 "$SBUILD" on.yaml
check_said "on.yaml:2:7: the base lone: .*it is made for linux/s390x, and what needs it is built for linux/$OWN"
printf 'name: on\nplatforms: [linux/s390x]\nfrom: app.yaml\nlayers: [{name: more, copy: {from: src, to: /more}}]\n' >on.yaml
check_fails "a recipe that is not for it" 3 "$SBUILD" on.yaml
check_said 'on.yaml:3:7: app.yaml is not for linux/s390x, which on is built for'

# ---- pushed while it is built ----

start_registry reg
rm -rf fresh
check "a cold build is pushed" "$SBUILD" app.yaml --store fresh --push --plain-http --tag "$REGISTRY/app:v1"
check_equal "the registry has an index" "amd64 arm64" "$(registry_get app/manifests/v1 | python3 -c '
import json, sys
print(*[m["platform"]["architecture"] for m in json.load(sys.stdin)["manifests"]])')"
check_equal "nothing goes twice" "" "$(registry_log reg | sed -nE 's/.*PUT .*digest=(sha256[^& "]*).*/\1/p' | sort | uniq -d)"
echo five >src/main.txt
check "one of them is pushed into it" "$SBUILD" app.yaml --store fresh --push --plain-http --tag "$REGISTRY/app:v1" --platform linux/$OWN
check_equal "… beside the other" "amd64 arm64" "$(registry_get app/manifests/v1 | python3 -c '
import json, sys
print(*[m["platform"]["architecture"] for m in json.load(sys.stdin)["manifests"]])')"
printf 'name: far\nplatforms: [linux/amd64, linux/arm64]\nfrom: {image: "%s/app:v1"}\nlayers: [{name: more, copy: {from: src, to: /far}}]\n' "$REGISTRY" >far.yaml
check "from the registry it is a base for each" "$SBUILD" far.yaml --plain-http --store far
check_equal "… each on its own" "linux/amd64 linux/arm64" "$(index_of far:latest far | awk '{ print $1 }' | paste -sd ' ')"
check "a lock file pins it" "$SBUILD" lock far.yaml --plain-http --store far
check_equal "… by the index" 1 "$(grep -c "$(registry_digest app v1)" far.lock)"
"$SBUILD" app.yaml --store fresh --push --plain-http --tag "$REGISTRY/app:v1" >/dev/null 2>err || tail -n 5 err
far=$("$SBUILD" far.yaml --plain-http --store far 2>err) || tail -n 5 err
check_equal "… for each platform, wherever the tag goes" "$far" "$("$SBUILD" far.yaml --plain-http --store farther 2>err || tail -n 5 err)"
if have_peer skopeo; then
	check_equal "skopeo reads the index" 2 "$(peer skopeo inspect --raw oci:store:app:latest | grep -o '"architecture"' | wc -l)"
	check "skopeo copies both" peer skopeo copy -q --all oci:store:app:latest oci:copied:app
else
	skip "skopeo is not there"
fi
