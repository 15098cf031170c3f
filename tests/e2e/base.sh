#!/bin/sh
# A base in a registry: it is not downloaded unless a step runs on it, it is pinned, and every machine
# makes the same of it.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
. "$TOP/tests/e2e/registry.lib"
need_root
need crun jq
busybox_root root
start_registry one

here=$SBUILD_STORE # the machine that made the base
there=$T/there     # a machine with an empty store
mark=0
asked() { # prints what was asked of the registry since the last call: METHOD KIND STATUS, sorted
	registry_log one | tail -n "+$((mark + 1))" >asked
	mark=$((mark + $(wc -l <asked)))
	sed -nE 's/^"([A-Z]+) \/v2\/[^ ]*\/(blobs|manifests)\/[^ ]* [^"]*" ([0-9]+) .*/\1 \2 \3/p' asked |
		sort | uniq -c | awk '{ printf "%s%s x%s", s, $2 " " $3 " " $4, $1; s = ", " }'
}
on() { # STORE COMMAND…
	SBUILD_STORE=$1 && shift
	"$SBUILD" "$@"
}
recipe() { # NAME FROM; layers from stdin
	{ printf 'name: %s\nfrom: %s\n' "$1" "$2" && cat; } >"$1.yaml"
}
layer() { # STORE IMAGE: the entries of its last layer
	blob=$(on "$1" inspect "$2" --json | jq -r '.layers[-1].digest[7:]')
	zstd -dc <"$1/blobs/sha256/$blob" | tar -tv | awk '{ print $1, $2, $6 }'
}

# ---- a base as distributions are: links at the root, directories of others ----

mv root rootfs && mkdir rootfs/usr && mv rootfs/bin rootfs/usr/bin && ln -s usr/bin rootfs/bin
mkdir -p rootfs/usr/lib/deep/er rootfs/srv/data && ln -s usr/lib rootfs/lib && ln -s srv/data rootfs/data
mkdir src && echo 1 >src/file
recipe base scratch <<'EOF'
layers:
  - {name: root, copy: {from: rootfs, to: /}}
  - {name: home, copy: {from: src, to: /home/app, owner: "1000:1000", mode: {files: "0640", directories: "0750"}}}
  - {name: tmp, copy: {from: src, to: /var/scratch, mode: {directories: "1777"}}}
EOF
check "the base is built" "$SBUILD" base.yaml
check "and pushed" "$SBUILD" push base "$REGISTRY/team/base:v1"
asked >/dev/null

# ---- copying on it ----

recipe app "{image: $REGISTRY/team/base:v1}" <<'EOF'
layers:
  - {name: app, copy: {from: src, to: /app}}
  - {name: bin, copy: {from: src/file, to: /bin/}}
  - {name: home, copy: {from: src, to: /home/app/x}}
  - {name: link, copy: {from: src, to: /data/x}}
  - {name: mine, copy: {from: src/file, to: /app}}
EOF
check "an image is built on a base that isn't here" on "$there" build app.yaml --metadata-file meta
check_equal "manifest and config were fetched, and no layer" \
	"GET blobs 200 x1, GET manifests 200 x1" "$(asked)"
check_equal "the metadata pins the base" "$REGISTRY/team/base:v1@$(on "$here" inspect base --json | jq -r .digest)" "$(jq -r .base meta)"
check "the machine that has the base builds as well" on "$here" app.yaml
check_equal "both machines make the same image" "$(on "$here" inspect app --json | jq -r .digest)" \
	"$(on "$there" inspect app --json | jq -r .digest)"
asked >/dev/null
check "a build with nothing to do" on "$there" app.yaml
check_equal "asks what the tag is, once" "HEAD manifests 200 x1" "$(asked)"
on "$there" inspect app --json | jq -r '.layers[3:][].digest[7:]' | while read -r blob; do
	zstd -dc <"$there/blobs/sha256/$blob" | tar -tv | awk '{ print $1, $2, $6 }'
done >entries
cat >expected <<'EOF'
drwxr-xr-x 0/0 app/
-rw-r--r-- 0/0 app/file
drwxr-xr-x 0/0 usr/
drwxr-xr-x 0/0 usr/bin/
-rw-r--r-- 0/0 usr/bin/file
drwxr-xr-x 1000/1000 home/
drwxr-x--- 1000/1000 home/app/
drwxr-xr-x 0/0 home/app/x/
-rw-r--r-- 0/0 home/app/x/file
drwxr-xr-x 0/0 srv/
drwxr-xr-x 0/0 srv/data/
drwxr-xr-x 0/0 srv/data/x/
-rw-r--r-- 0/0 srv/data/x/file
drwxr-xr-x 0/0 app/
-rw-r--r-- 0/0 app/file
EOF
check "what is copied lands where the base's links lead, and parents keep owner and mode" diff expected entries
on "$there" plan app.yaml >plan
check "the plan pins the base" has plan "^base +app +root +from $REGISTRY/team/base:v1@sha256:[0-9a-f]{64}\$"
on "$there" inspect app >shown
check "inspect says what is not here" has shown "^1 +root .* in a registry\$"
on "$there" images >shown
check "images does" has shown "^app +[0-9a-f]+ +5/8 "
asked >/dev/null

# ---- on an image that stands on such a base, by way of the registry ----

check "the image is pushed from where its base never was" on "$there" push app "$REGISTRY/team/app:v1"
asked >/dev/null
recipe top "{image: $REGISTRY/team/app:v1}" <<'EOF'
layers: [{name: top, copy: {from: src, to: /lib/top}}]
EOF
for store in one two; do
	check "built on an empty store" on "$T/$store" top.yaml
done
check_equal "without a layer" "GET blobs 200 x2, GET manifests 200 x2" "$(asked)"
check_equal "at the same place" "usr/lib/top/file" "$(layer "$T/one" top | awk 'END { print $3 }')"

# ---- nor does a download need them ----

need xz bzip2
mkdir www && echo model >www/model.bin
mkdir -p pack/tool-1.2 && echo tool >pack/tool-1.2/run
for how in xz bzip2; do
	tar -C pack -b 200 -cf - tool-1.2 | $how >www/tool.$how
done
head -c 100 www/tool.xz >www/tool.cut
(cd www && exec python3 -m http.server --bind 127.0.0.1 0) >www.log 2>&1 &
server=$!
wait_for_line 'Serving HTTP' www.log
port=$(sed -nE 's/.* port ([0-9]+) .*/\1/p' www.log)
recipe download "{image: $REGISTRY/team/base:v1}" <<EOF
layers:
  - name: model
    download:
      url: http://127.0.0.1:$port/model.bin
      sha256: $(sha256sum <www/model.bin | cut -d' ' -f1)
      to: /data/model.bin
      owner: "7:8"
EOF
mark=0 && asked >/dev/null
check "a file is downloaded onto a base that isn't here" on "$T/one" download.yaml
check_equal "without a layer of it" "GET blobs 200 x1, GET manifests 200 x1" "$(asked)"
check_equal "where its links lead" "drwxr-xr-x 0/0 srv/ drwxr-xr-x 0/0 srv/data/ -rw-r--r-- 7/8 srv/data/model.bin" \
	"$(layer "$T/one" download | tr '\n' ' ' | sed 's/ $//')"
for how in xz bzip2 cut; do
	cat >"$how.yaml" <<EOF
name: $how
from: scratch
layers:
  - name: tool
    download: {url: "http://127.0.0.1:$port/tool.$how", sha256: $(sha256sum <"www/tool.$how" | cut -d' ' -f1), to: /opt, extract: true, strip: 1}
EOF
done
for how in xz bzip2; do
	check "a tar of $how is unpacked" on "$T/one" $how.yaml
	check_equal "and what is in it is there" "drwxr-xr-x 0/0 opt/ -rw-r--r-- 0/0 opt/run" \
		"$(layer "$T/one" $how | tr '\n' ' ' | sed 's/ $//')"
done
check_fails "one that ends too early is not" 6 on "$T/one" cut.yaml
check_said 'damaged'
kill "$server"
check "and kept" on "$T/one" build download.yaml --no-cache
sed -i "s/sha256: .*/sha256: $(printf %064d 7)/" download.yaml
check_fails "another is not taken for it" 5 on "$T/one" download.yaml

# ---- a step that runs fetches the layers ----

recipe run "{image: $REGISTRY/team/base:v1}" <<'EOF'
layers:
  - {name: app, copy: {from: src, to: /app}}
  - {name: step, run: "cat /app/file /home/app/file /var/scratch/file | tr -d '\\n' >/out"}
EOF
asked >/dev/null
on "$there" build run.yaml --progress plain 2>out
check "progress says what is fetched" has out "run step: fetching 3 layers below, "
check_equal "and each layer that has come" 3 "$(grep -cE "^  fetched [0-9a-f]{12} from $REGISTRY/team/base  [0-9.]+ [kM]?B" out)"
check_equal "each layer once" "GET blobs 200 x3, HEAD manifests 200 x1" "$(asked)"
on "$there" export run --format rootfs -o run.tar 2>/dev/null
check_equal "the step ran on them" 111 "$(tar -xOf run.tar out)"
check_equal "the image with a step is the same elsewhere" \
	"$(on "$there" inspect run --json | jq -r .digest)" "$(on "$here" run.yaml 2>/dev/null)"
check "export fetches" on "$T/one" export top -o top.tar
cp .check out
check "and says so" has out "^  fetched .* from $REGISTRY/team/"
check_store "afterwards" "$there"

# ---- sbuild lock ----

digest() { on "$here" inspect "$1" --json | jq -r .digest; }
first=$(digest base)
recipe onlock app.yaml <<'EOF'
layers: [{name: more, copy: {from: src, to: /more}}]
EOF
on "$here" lock onlock.yaml >out 2>&1
check_equal "a recipe is locked, beside the one that names the image" \
	"app.lock: $REGISTRY/team/base:v1 $first" "$(cat out)"
asked >/dev/null
check "a build by the lock" on "$there" app.yaml
check_equal "asks nothing" "" "$(asked)"
echo 2 >src/file
check "the base moves" on "$here" base.yaml
second=$(digest base)
check "in the registry as well" on "$here" push base "$REGISTRY/team/base:v1"
on "$there" build app.yaml --metadata-file meta 2>/dev/null >&2
check_equal "a build keeps to the lock" "$first" "$(jq -r .base meta | cut -d@ -f2)"
check "an empty store too" on "$T/three" build app.yaml --metadata-file meta
check_equal "though the tag has moved" "$first" "$(jq -r .base meta | cut -d@ -f2)"
check_equal "locked is locked" "app.lock: $REGISTRY/team/base:v1 $first, as it was" "$(on "$there" lock app.yaml)"
printf '  "docker.io/library/old:1": %s\n' "$first" >>app.lock
check_equal "--update moves it, and drops what isn't named" \
	"app.lock: $REGISTRY/team/base:v1 $first -> $second
app.lock: docker.io/library/old:1 dropped" "$(on "$there" lock --update app.yaml)"
on "$there" build app.yaml --metadata-file meta 2>/dev/null >&2
check_equal "builds follow" "$second" "$(jq -r .base meta | cut -d@ -f2)"
sed -i "s/team\/base:v1/team\/base:v0/" app.lock
on "$there" build app.yaml --metadata-file meta 2>err >&2
check "a name that isn't in the lock file is said" has err "app.yaml:2: $REGISTRY/team/base:v1 is not in the lock file; it is $second now"
on "$there" lock app.yaml --json >out
check_equal "locking adds it" added "$(jq -r '.[0].state' out)"
sed -i "/base:v1/s/sha256:.*/sha256:$(printf gone | sha256sum | cut -d' ' -f1)/" app.lock
check_fails "a digest that the registry has no more" 5 on "$there" build app.yaml
check "whose place is the lock file" has said 'hint: the lock file has this digest; `sbuild lock --update .*app.yaml`'
sed -i '4s/sha256:./sha256:x/' app.lock
check_fails "a lock file that was tampered with" 3 on "$there" build app.yaml
check "names its place" has said '^app.lock:4:[0-9]+: expected a digest'
rm app.lock

# ---- the registry doesn't have it, or doesn't answer ----

recipe lost "{image: $REGISTRY/team/lost:v1}" </dev/null
check_fails "an image that is nowhere" 5 on "$here" plan lost.yaml
check "is named" has said "lost.yaml:2:7: the base $REGISTRY/team/lost:v1: .*no image"
check "unless the store has that very name" on "$here" tag base "$REGISTRY/team/lost:v1"
check "then it is built on" on "$here" lost.yaml
check "locked once" on "$there" lock app.yaml
check "and built" on "$there" app.yaml
stop_registry one
check "without the registry a locked recipe builds" on "$there" app.yaml
rm app.lock
check_fails "one that isn't locked" 5 on "$there" app.yaml
check "says how to come by without" has said 'hint: .sbuild lock app.yaml'
check_fails "and so does its plan" 5 on "$there" plan app.yaml

# ---- a base that other tools made ----

start_registry one
mark=0
on "$here" export base -o base.tar 2>/dev/null
mkdir layout && tar -C layout -xf base.tar
manifest=$(jq -r '.manifests[0].digest[7:]' layout/index.json)
config=$(jq -r '.config.digest[7:]' "layout/blobs/sha256/$manifest")
blob() { # FILE: puts it into the layout, prints digest and size
	d=$(sha256sum <"$1" | cut -d' ' -f1)
	cp "$1" "layout/blobs/sha256/$d"
	echo "sha256:$d" "$(wc -c <"$1")"
}
jq -cj 'del(.["dev.sbuild.paths"])' "layout/blobs/sha256/$config" >plain-config
blob plain-config >put && read -r d n <put
jq -cj --arg d "$d" --argjson n "$n" '.config.digest = $d | .config.size = $n' "layout/blobs/sha256/$manifest" >plain
blob plain >put && read -r d n <put
jq -c --arg d "$d" --argjson n "$n" '.manifests[0] |= (.digest = $d | .size = $n)' layout/index.json >index && cp index layout/index.json
check "an image without paths is pushed" on "$here" push oci:layout "$REGISTRY/other/base:v1"
asked >/dev/null
recipe foreign "{image: $REGISTRY/other/base:v1}" <<'EOF'
layers:
  - {name: app, copy: {from: src, to: /app}}
  - {name: etc, copy: {from: src/file, to: /etc}}
EOF
foreign=$T/foreign
check "it is built on" on "$foreign" foreign.yaml
check_equal "without a layer" "GET blobs 200 x1, GET manifests 200 x1" "$(asked)"
check_equal "into the directories that all have" "etc/file" "$(layer "$foreign" foreign | awk 'END { print $3 }')"
check_equal "and is the same where the layers are" "$(on "$foreign" inspect foreign --json | jq -r .digest)" \
	"$(on "$here" foreign.yaml 2>/dev/null)"
recipe through "{image: $REGISTRY/other/base:v1}" <<'EOF'
layers: [{name: app, copy: {from: src/file, to: /bin/}}]
EOF
asked >/dev/null
check "what is a link in many is looked up" on "$foreign" through.yaml
check_equal "in the layers" "GET blobs 200 x3, HEAD manifests 200 x1" "$(asked)"
check_equal "and found" "usr/bin/file" "$(layer "$foreign" through | awk 'END { print $3 }')"
recipe hidden "{image: $REGISTRY/other/base:v1}" <<'EOF'
layers: [{name: app, copy: {from: src/file, to: /data/}}]
EOF
check_fails "a link that is known by chance is an error" 3 on "$foreign" build hidden.yaml
check "that says where it leads" has said 'hint: write where it leads, /srv/data/file$'
on "$foreign" push foreign "$REGISTRY/other/top:v1" 2>/dev/null >&2
recipe second "{image: $REGISTRY/other/top:v1}" <<'EOF'
layers: [{name: app, copy: {from: src/file, to: /lib/}}]
EOF
check "on top of one that stands on it, too" on "$T/four" second.yaml
check_equal "links are looked up" "usr/lib/file" "$(layer "$T/four" second | awk 'END { print $3 }')"

if have_peer buildah; then
	printf 'FROM scratch\nCOPY rootfs /\nRUN ["/bin/sh", "-c", "mkdir -m 700 /opt && echo hi >/opt/hi"]\n' >Dockerfile
	check "buildah makes a base" peer_build -t "$REGISTRY/other/buildah:v1" .
	check "and pushes it" peer_buildah push -q --tls-verify=false "$REGISTRY/other/buildah:v1"
	asked >/dev/null
	recipe onbuildah "{image: $REGISTRY/other/buildah:v1}" <<-'EOF'
		layers: [{name: app, copy: {from: src, to: /app}}, {name: step, run: "cat /opt/hi /app/file >/out"}]
	EOF
	check "a step runs on it" on "$T/five" onbuildah.yaml
	on "$T/five" export onbuildah --format rootfs -o onbuildah.tar 2>/dev/null
	check_equal "and sees both" "hi2" "$(tar -xOf onbuildah.tar out | tr -d '\n')"
else
	skip "buildah is not installed"
fi
