#!/bin/sh
# Pulling what other tools pushed, in all the formats they write; and what a registry says that lies.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
. "$TOP/tests/e2e/peers.lib"
need_root
need jq docker-registry curl python3

start_registry main
mkdir -p app/sub
echo 'from the application' >app/file
ln -s file app/link
ln app/file app/sub/hard
head -c 6000000 /dev/urandom >app/noise
chmod 4750 app/sub
cat >app.yaml <<END
name: app
from: scratch
image: {user: "1000:1000", workdir: /app, env: {A: b}}
layers:
  - {name: one, copy: {from: app/noise, to: /noise}}
  - {name: two, copy: {from: app, to: /app, exclude: [noise], owner: "7:8"}}
END
digest=$("$SBUILD" app.yaml)
check "an image" test -n "$digest"
"$SBUILD" export app --format rootfs -o source.tar
source_files=$(sha256sum <source.tar)
"$SBUILD" push app "$REGISTRY/sbuild/app:v1" 2>err
builder=$SBUILD_STORE

# Over a slow line, while the rest goes on.
python3 - "$REGISTRY" >slow.port 2>slow.failed <<'END' &
import socket, sys, threading, time

def carry(source, target, rate):
    while data := source.recv(1 << 14):
        target.sendall(data)
        time.sleep(len(data) / rate)
    target.shutdown(socket.SHUT_WR)

host, port = sys.argv[1].rsplit(":", 1)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    client = server.accept()[0]
    registry = socket.create_connection((host, int(port)))
    threading.Thread(target=carry, args=(client, registry, 1e9), daemon=True).start()
    threading.Thread(target=carry, args=(registry, client, 3e5), daemon=True).start()
END
slow_line=$!
cleanup() { kill "$slow_line" 2>/dev/null || :; }
wait_for_line '[0-9]' slow.port
"$SBUILD" pull --store "$T/slow" "127.0.0.1:$(cat slow.port)/sbuild/app:v1" --progress plain >slow.out 2>slow.err &
slow_pull=$!

number=0
fresh() { # a store with nothing in it
	number=$((number + 1))
	SBUILD_STORE=$T/fresh-$number
}
same_image() { # NAME: pulled into a store of its own, it is the image app
	fresh
	check_equal "$1: pulled by its digest" "$(registry_digest "${1%:*}" "${1##*:}")" "$("$SBUILD" pull "$REGISTRY/$1" 2>err)"
	check_equal "$1: its files are those of the source" "$source_files" \
		"$("$SBUILD" export "$REGISTRY/$1" --format rootfs 2>err | sha256sum)"
	check "$1: ls" sh -c '"$SBUILD" ls -R "$0" | grep -q "app/sub/hard"' "$REGISTRY/$1"
	check_equal "$1: its config" "1000:1000 /app" "$("$SBUILD" inspect "$REGISTRY/$1" --json | jq -r '.config | "\(.User) \(.WorkingDir)"')"
	check_store "$1"
}

# ---- its own ----

same_image sbuild/app:v1
registry_log main >before
check "again" "$SBUILD" pull "$REGISTRY/sbuild/app:v1"
check_equal "fetches the manifest alone" "1 0" "$(registry_log main | tail -n +$(($(wc -l <before) + 1)) |
	awk '/manifests/ { m++ } /blobs/ { b++ } END { print m + 0, b + 0 }')"
check "by digest" "$SBUILD" pull "$REGISTRY/sbuild/app@$digest"
check_equal "asks nobody when it is there" 1 "$(registry_log main | tail -n +$(($(wc -l <before) + 1)) | wc -l)"
fresh
check "and unpacked" "$SBUILD" pull "$REGISTRY/sbuild/app:v1" --unpack --json --progress json
check_equal "two trees" 2 "$(find "$SBUILD_STORE/sbuild/trees" -mindepth 1 -maxdepth 1 | wc -l)"
fresh
check "two images, one digest" "$SBUILD" pull "$REGISTRY/sbuild/app:v1" "$REGISTRY/sbuild/app:v1"
check_fails "no such tag" 5 "$SBUILD" pull "$REGISTRY/sbuild/app:nothing"
check_fails "no such repository" 5 "$SBUILD" pull "$REGISTRY/nothing"
check_fails "nobody listens" 5 "$SBUILD" pull "127.0.0.1:1/nothing"

# ---- other tools' ----

SBUILD_STORE=$builder
push_by() { # TOOL NAME COMMAND…: the image of the store, pushed otherwise
	tool=$1 pushed=$2
	shift 2
	if "$@" >err 2>&1; then
		same_image "$pushed"
	else
		skip "this $tool does not write $pushed: $(tail -n 1 err | cut -c 1-200)"
	fi
	SBUILD_STORE=$builder
}
if have_peer skopeo; then
	copy() { peer skopeo copy -q --insecure-policy --dest-tls-verify=false "$@"; }
	push_by skopeo skopeo/gzip:v1 copy --dest-compress-format gzip --dest-force-compress-format oci:store:app:latest "docker://$REGISTRY/skopeo/gzip:v1"
	push_by skopeo skopeo/zstd:v1 copy --dest-compress-format zstd --dest-force-compress-format oci:store:app:latest "docker://$REGISTRY/skopeo/zstd:v1"
	push_by skopeo skopeo/chunked:v1 copy --dest-compress-format zstd:chunked --dest-force-compress-format oci:store:app:latest "docker://$REGISTRY/skopeo/chunked:v1"
	push_by skopeo skopeo/v2s2:v1 copy --format v2s2 --dest-compress-format gzip --dest-force-compress-format oci:store:app:latest "docker://$REGISTRY/skopeo/v2s2:v1"
	peer skopeo copy -q --insecure-policy --src-tls-verify=false "docker://$REGISTRY/skopeo/gzip:v1" dir:plain >/dev/null 2>&1 &&
		push_by skopeo skopeo/plain:v1 copy --dest-decompress dir:plain "docker://$REGISTRY/skopeo/plain:v1"
else
	skip "skopeo is not installed"
fi
if have_peer crane; then
	"$SBUILD" export app --format docker-archive -o docker.tar --name app:v1
	push_by crane crane/app:v1 peer crane push --insecure docker.tar "$REGISTRY/crane/app:v1"
else
	skip "crane is not installed"
fi

# ---- indexes ----

cat >other.yaml <<END
name: other
from: scratch
layers:
  - {name: other, copy: {from: app/file, to: /other}}
END
other=$("$SBUILD" other.yaml)
for image in app other; do "$SBUILD" push $image "$REGISTRY/index:$image" 2>err; done
entry() { # DIGEST OS/ARCHITECTURE[/VARIANT]
	size=$(wc -c <"$builder/blobs/sha256/${1#sha256:}")
	echo "$2" | jq -R --arg d "$1" --argjson s "$size" 'split("/") as $p | {mediaType: "application/vnd.oci.image.manifest.v1+json",
		digest: $d, size: $s, platform: ({os: $p[0], architecture: $p[1]} + if $p[2] then {variant: $p[2]} else {} end)}'
}
put_index() { # TAG MEDIA-TYPE: entries on standard input
	jq -s --arg t "$2" '{schemaVersion: 2, mediaType: $t, manifests: .}' >index.json
	curl -sf -X PUT -H "Content-Type: $2" --data-binary @index.json "http://$REGISTRY/v2/index/manifests/$1"
}
case $(uname -m) in x86_64) machine=amd64 ;; aarch64) machine=arm64 ;; *) machine=$(uname -m) ;; esac
{ entry "$other" linux/arm/v6; entry "$other" linux/s390x; entry "$digest" linux/$machine; entry "$other" windows/$machine; } |
	put_index all application/vnd.oci.image.index.v1+json
{ entry "$other" linux/s390x; entry "$digest" linux/$machine; } | put_index list application/vnd.docker.distribution.manifest.list.v2+json
fresh
check_equal "the image for this machine" "$digest" "$("$SBUILD" pull "$REGISTRY/index:all" 2>err)"
check_equal "of Docker's list too" "$digest" "$("$SBUILD" pull "$REGISTRY/index:list" 2>err)"
check_equal "by the index's digest" "$digest" "$("$SBUILD" pull "$REGISTRY/index@$(registry_digest index all)" 2>err)"
check_equal "for another" "$other" "$("$SBUILD" pull "$REGISTRY/index:all" --platform linux/s390x 2>err)"
check_equal "with a newer variant" "$other" "$("$SBUILD" pull "$REGISTRY/index:all" --platform linux/arm/v7 2>err)"
check_fails "not with an older one" 5 "$SBUILD" pull "$REGISTRY/index:all" --platform linux/arm/v5
check_fails "nor for what there is none" 5 "$SBUILD" pull "$REGISTRY/index:all" --platform linux/riscv64
cp .check err
check "the message lists what there is" grep -q "linux/s390x, linux/$machine" err
SBUILD_STORE=$builder
if have_peer skopeo; then
	check "skopeo copies the whole index" peer skopeo copy -q --insecure-policy --all --src-tls-verify=false --dest-tls-verify=false \
		"docker://$REGISTRY/index:list" "docker://$REGISTRY/skopeo/all:v1"
	fresh
	check_equal "which sbuild pulls" "$digest" "$("$SBUILD" pull "$REGISTRY/skopeo/all:v1" 2>err)"
fi
if have_peer crane; then
	if peer crane index append --insecure -m "$REGISTRY/index:app" -m "$REGISTRY/index:other" -t "$REGISTRY/crane/index:v1" >err 2>&1; then
		fresh
		check_equal "crane's index" "$digest" "$("$SBUILD" pull "$REGISTRY/crane/index:v1" 2>err)"
	else
		skip "crane makes no index: $(tail -n 1 err)"
	fi
fi
if have_peer buildah; then
	peer_buildah manifest create list >err 2>&1 && peer_buildah manifest add --tls-verify=false list "docker://$REGISTRY/index:app" >>err 2>&1 &&
		peer_buildah manifest push --tls-verify=false list "docker://$REGISTRY/buildah/list:v1" >>err 2>&1 || cat err
	fresh
	check_equal "buildah's manifest list" "$digest" "$("$SBUILD" pull "$REGISTRY/buildah/list:v1" 2>err)"
fi

# ---- a registry that lies ----

"$TOP/tests/e2e/hostile-registry" >hostile.out 2>hostile.log &
registries="$registries $!"
wait_for_line '^repositories:' hostile.out
HOSTILE=$(sed -n 's/^listening on //p' hostile.out)
fresh
cat >bounded.py <<'END'
# Runs a command with 20 seconds and 1 GiB of address space for each of its processes: its status is the
# command's, or 99 when it ran too long, or 98 when it used more than 200 MB of memory. A program that is
# instrumented (SB_INSTRUMENTED) needs address space and time of its own.
import os, resource, subprocess, sys

instrumented = bool(os.environ.get("SB_INSTRUMENTED"))
if not instrumented:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    status = subprocess.run(sys.argv[1:], timeout=200 if instrumented else 20).returncode
except subprocess.TimeoutExpired:
    sys.exit(99)
used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print("used", used, "kB", file=sys.stderr)
sys.exit(98 if used > 200000 and not instrumented else status)
END
lie() { # STATUS REPOSITORY [OPTION…]
	lie_status=$1 lie_name=$2
	shift 2
	check_fails "a lie: $lie_name" "$lie_status" python3 bounded.py "$SBUILD" pull "$HOSTILE/$lie_name:v1" "$@"
	cp .check "lie-$lie_name"
}
check "it can tell the truth" python3 bounded.py "$SBUILD" pull "$HOSTILE/good:v1" --unpack
for name in wrong-digest short long endless-layer empty-layer error-page; do lie 6 $name; done
lie 6 slow-and-wrong # whose other layer would never end: bounded.py would
lie 5 slow-and-missing
for name in no-layer redirect-file redirect-metadata redirect-gopher redirect-loop redirect-manifest; do lie 5 $name; done
# A tag says nothing of what it names; a digest does.
name=$(sed -n 's/^other-manifest: //p' hostile.out)
check "what a digest names" test "$(curl -s "http://$HOSTILE/v2/other-manifest/manifests/v1" | sha256sum | cut -c 1-64)" = "${name#sha256:}"
check_fails "a lie: another manifest for a digest" 6 python3 bounded.py "$SBUILD" pull "$HOSTILE/other-manifest@$name"
lie 6 other-child
for name in endless-manifest huge-manifest packed-manifest schema-1; do lie '[56]' $name; done
for name in no-json deep-json two-values many-layers artifact; do lie 5 $name; done
for name in no-layers-list negative-size huge-config other-algorithm path-in-digest nested-3 nested-9 confused-size confused-child confused-type \
	confused-inside both both-index endless-config; do
	lie 6 $name
done
lie '[56]' huge-size
lie 5 many-children
check "two indexes in one another are no lie" "$SBUILD" pull "$HOSTILE/nested-2:v1"

for name in climbs climbs-hard long-name wide-window garbage other-diff-id; do lie 6 $name --unpack; done
export SBUILD_TAR_LIMIT=300000000
lie 6 bomb --unpack
check "a bomb is told as what it is" grep -q 'unpacks to more than the 300000000 bytes allowed' lie-bomb
check "and is not left in the store" test "$(du -sm "$SBUILD_STORE" | cut -f 1)" -lt 100
unset SBUILD_TAR_LIMIT
check "a link that leads out" "$SBUILD" pull "$HOSTILE/link:v1" --unpack
check "an absolute name" "$SBUILD" pull "$HOSTILE/absolute:v1" --unpack
check_equal "nothing got out" "" "$(find /tmp /var/tmp -maxdepth 1 -name 'sbuild-escaped*')"
check_equal "redirects were not followed to other schemes" "" "$(grep -l 'root:x:0' lie-redirect-* || :)"
check_store "after all lies"
check_equal "none of them has a name" "" "$("$SBUILD" images --json | jq -r '.[].name' | sed "s,$HOSTILE/,," | grep -vxE 'good|nested-2|link|absolute' || :)"

# ---- slowly ----

check "over a slow line" wait "$slow_pull"
check_equal "the same image comes" "$digest" "$(cat slow.out)"
check "a log hears of it before the end" grep -qE '^  fetching [0-9.]+ MB of 6\.00 MB, [0-9]+ kB/s [0-9a-f]{12}$' slow.err
