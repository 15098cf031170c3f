#!/bin/sh
# The shared cache: several machines (stores) and one repository of a registry.
# shellcheck disable=SC2016 # $ belongs to the recipes
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
. "$TOP/tests/e2e/registry.lib"
need_root
need python3 crun
start_registry reg
HOST=$REGISTRY
CACHE=$HOST/team/cache

busybox_root root
ln -s srv root/app # where copies into /app really land
mkdir -p root/srv src
head -c 3000000 /dev/urandom >root/ballast
echo one >src/main.txt
write_recipe() { # STEP
	cat >app.yaml <<-END
		name: app
		from: scratch
		layers:
		  - name: root
		    copy: {from: root, to: /}
		  - name: deps
		    run: $1; head -c 100000 /dev/urandom >/deps
		  - name: app
		    copy: {from: src, to: /app}
	END
}
write_recipe 'echo first >/step'

mark() { registry_log reg | wc -l >mark; }
requests() { registry_log reg | tail -n "+$(($(cat mark) + 1))"; }
build() { # STORE OPTION…
	store=$1
	shift
	"$SBUILD" app.yaml --store "$store" --progress plain "$@" 2>err
}
layers_of() { # STORE: blobs of its image's layers
	"$SBUILD" inspect app --store "$1" --json | python3 -c 'import json, sys
for layer in json.load(sys.stdin)["layers"]: print(layer["digest"])'
}
fetched_layers() { # DIGEST…
	for digest; do requests | grep "GET [^ ]*/blobs/$digest" || :; done
}
tag_of() { # LAYER
	"$SBUILD" cache ls "$CACHE" --json | python3 -c 'import json, sys
print([r["tag"] for r in json.load(sys.stdin) if not r["damaged"] and r["layer"] == sys.argv[1]][0])' "$1"
}

# ---- one machine builds, another needs not ----

a=$(build A --cache-to "$CACHE")
check_equal "machine A builds all layers" 3 "$(grep -c '^  building' err)"
check_equal "and warns of nothing" "" "$(grep warning err)"
"$SBUILD" cache ls "$CACHE" >records
check_equal "three records are there" 3 "$(grep -c k1- records)"
check "with names of recipe and layer" grep -q 'app  *deps' records

mark
b=$(build B --cache-from "$CACHE")
layers=$(layers_of A)
check_equal "machine B gets the same digest" "$a" "$b"
check_equal "without running a step" "" "$(grep building err)"
# shellcheck disable=SC2086 # words
check_equal "or fetching a layer" "" "$(fetched_layers $layers)"
check_equal "with one request for each record" 3 "$(requests | grep -c 'GET [^ ]*/manifests/k1-')"
check "and says where they are" grep -q "cached app deps  in $CACHE" err
check_fails "no layer is in its store" 1 sh -c 'for d; do [ ! -e "B/blobs/sha256/${d#sha256:}" ] || exit 0; done; exit 1' sh $layers
mark
check_equal "its next build asks nobody" "$a" "$(build B --cache-from "$CACHE"; requests)"
check_equal "nor does A's, for a day" "$a" "$(build A --cache-to "$CACHE"; requests)"
check_store A "$T/A"
check_store B "$T/B"

mark
"$SBUILD" plan app.yaml --store P --cache-from "$CACHE" >plan
check_equal "plan shows what is there" 3 "$(grep -c "^cached .*in $CACHE" plan)"
check_equal "asking for nothing but records and tables" "" "$(requests | grep -v 'k1-' | grep -v 'GET [^ ]*/blobs/' || :)"

# ---- what changed is built on what is there ----

echo two >src/main.txt
mark
c=$(build C --cache-from "$CACHE")
check_equal "a changed file: one layer is built" "  building app app: copy: src to /app" "$(grep building err)"
# shellcheck disable=SC2086
check_equal "without the layers below" "" "$(fetched_layers $layers)"
check_equal "as on A" "$c" "$(build A)"
"$SBUILD" ls app /srv --store A >listing
check "where the base's link leads" grep -q main.txt listing

write_recipe 'echo second >/step'
mark
build D --cache-from "$CACHE" >/dev/null
check_equal "a changed step: it and what is above" "deps app " "$(sed -n 's/^  building app \([a-z]*\):.*/\1 /p' err | tr -d '\n')"
first=$(echo "$layers" | head -n 1)
check_equal "the layer below is fetched, once" 1 "$(fetched_layers "$first" | wc -l)"
check_equal "and no other" 0 "$(fetched_layers $(echo "$layers" | tail -n 2) | wc -l)"
check_store D "$T/D"

# ---- with a push ----

echo three >src/main.txt
write_recipe 'echo third >/step'
mark
build Q --cache-from "$CACHE" --cache-to "$CACHE" --push --tag "$HOST/team/app:v1" >/dev/null
uploads=$(requests | grep 'PUT [^ ]*/blobs/uploads/' | grep -o 'digest=sha256[^& ]*' | sort)
check_equal "what is pushed and shared is sent once" "" "$(echo "$uploads" | uniq -d)"
new=$(layers_of Q | tail -n 2)
check_equal "both new layers are" 2 "$(for d in $new; do echo "$uploads" | grep -c "${d#sha256:}"; done | grep -c 1)"
check_equal "and none is fetched that no step needs" 0 "$(fetched_layers $new | wc -l)"
mark
r=$(build R --cache-from "$CACHE" --push --tag "$HOST/other/app:v1")
check_equal "an empty store pushes the same image" "$(build Q)" "$(echo "$r" | grep -o '^sha256:[0-9a-f]*')"
check_equal "by mounting its layers" 3 "$(requests | grep -c 'POST [^ ]*mount=sha256[^ ]* HTTP/1.1" 201')"
check_equal "and fetches none" "" "$(fetched_layers $(layers_of R))"
check "that can be pulled" "$SBUILD" pull "$HOST/other/app:v1" --store pulled
check_store R "$T/R"
echo two >src/main.txt

# ---- from one repository to another ----

write_recipe 'echo first >/step'
mark
build F --cache-from "$CACHE" --cache-to "$HOST/team/other" >/dev/null
check_equal "records are copied, blobs mounted" 2 "$(requests | grep -c 'POST [^ ]*mount=sha256')"
check_equal "one layer is uploaded: the changed one" "" "$(fetched_layers $layers)"
check_equal "all three are there" 3 "$("$SBUILD" cache ls "$HOST/team/other" | grep -c k1-)"

# ---- settings ----

printf 'cache: {from: "%s", to: "%s"}\n' "$CACHE" "$CACHE" >sbuild.yaml
check_fails "a checkout can't name one" 3 "$SBUILD" app.yaml
check_said 'not for a project to say'
mkdir -p config/sbuild
echo "trust: [$T]" >config/sbuild/config.yaml
export XDG_CONFIG_HOME="$T/config"
build G >/dev/null
check "settings name the cache, too" grep -q "cached app deps  in $CACHE" err
check_equal "and where to write" 6 "$("$SBUILD" cache ls "$CACHE" | grep -c k1-)"
rm sbuild.yaml
unset XDG_CONFIG_HOME
check_fails "a tag is no repository" 2 "$SBUILD" app.yaml --cache-from "$CACHE:tag"
check_fails "nor is nonsense" 2 "$SBUILD" plan app.yaml --cache-to 'UPPER CASE'

# ---- it can't be reached ----

port=$(free_port)
build H --cache-from "127.0.0.1:$port/cache" --cache-from "127.0.0.1:$port/other" --cache-to "127.0.0.1:$port/third" >/dev/null
check_equal "an unreachable cache is one warning" 1 "$(grep -c 'warning: the cache' err)"
check_equal "after two attempts" 1 "$(grep -c 'warning: the cache.*after 2 attempts' err)"
check_equal "and all is built" 3 "$(grep -c '^  building' err)"
start_registry locked htpasswd
build H2 --cache-from "$REGISTRY/cache" --cache-to "$REGISTRY/cache" >/dev/null
check_equal "so is one that wants a password" 1 "$(grep -c 'warning: the cache' err)"

# ---- secrets ----

cat >secret.yaml <<'END'
name: secret
from: scratch
layers:
  - name: root
    copy: {from: root, to: /}
  - name: hidden
    run: wc -c </run/secrets/token >/length
    secrets: [token]
  - name: above
    run: echo above >/above
END
echo 'sesame-4711-token' >token
start_registry secrets
"$SBUILD" secret.yaml --store S --secret id=token,src=token --cache-to "$REGISTRY/secrets" --progress plain >/dev/null 2>err
check_equal "a layer with a secret has no record" "above root " \
	"$("$SBUILD" cache ls "$REGISTRY/secrets" --json | python3 -c 'import json, sys
print("".join(sorted(r["layer"] + " " for r in json.load(sys.stdin))), end="")')"
check_fails "the secret is nowhere in the registry" 1 grep -rqa sesame-4711 "$T/registry-secrets/data"
hmac=$(python3 -c 'import json, glob
for f in glob.glob("S/sbuild/records/*"):
    for s in json.load(open(f))["key"].get("steps", []):
        for v in s.get("secrets", {}).values(): print(v.removeprefix("sha256:"))')
check_equal "there was a keyed digest of it" 65 "$(echo "$hmac" | wc -c)"
check_fails "which is nowhere in the registry either" 1 grep -rqa "$hmac" "$T/registry-secrets/data"
"$SBUILD" secret.yaml --store S2 --secret id=token,src=token --cache-from "$REGISTRY/secrets" --progress plain >/dev/null 2>err
check_equal "another machine runs that step alone" "  building secret hidden" "$(grep -o '^  building secret [a-z]*' err)"

# ---- many at once ----

start_registry crowd
mkdir crowd
sed 's/head -c 100000 .dev.urandom/echo the same/' app.yaml >same.yaml
CROWD=$REGISTRY/cache
for i in 1 2 3 4 5 6 7 8; do
	"$SBUILD" same.yaml --store "crowd/$i" --cache-from "$CROWD" --cache-to "$CROWD" \
		--progress plain >"crowd/out$i" 2>"crowd/err$i" &
	eval "pid$i=$!"
done
bad=
for i in 1 2 3 4 5 6 7 8; do eval "wait \$pid$i" || bad="$bad $i"; done
check_equal "8 builds on 8 empty stores share a cache: none fails" "" "$bad"
check_equal "and all have the same image" 1 "$(cat crowd/out* | sort -u | wc -l)"
check_equal "none warns" "" "$(cat crowd/err* | grep warning || :)"
check_equal "there are three records at the end" 3 "$("$SBUILD" cache ls "$CROWD" | grep -c k1-)"
rm -r crowd

# ---- other tools ----

tag=$(tag_of deps)
if have_peer crane; then
	echo 'compression: gzip' >>same.yaml # of zstd, crane validate knows nothing
	"$SBUILD" same.yaml --store Z --cache-to "$HOST/gzip" >/dev/null 2>&1
	for record in $("$SBUILD" cache ls "$HOST/gzip" --json | grep -o 'k1-[0-9a-f]*'); do
		check "crane takes a record for an image" peer crane validate --insecure --remote "$HOST/gzip:$record"
	done
	check "and reads its manifest" peer crane manifest --insecure "$CACHE:$tag"
else
	skip "crane is not installed"
fi
if have_peer skopeo; then
	check "skopeo copies a record" peer skopeo copy --src-tls-verify=false "docker://$CACHE:$tag" dir:copied
else
	skip "skopeo is not installed"
fi

# ---- pruning ----

PRUNED=$CROWD
"$SBUILD" cache prune "$PRUNED" --older-than 1h >out
check "nothing is old yet" grep -q '^0 records removed, 3 left' out
"$SBUILD" cache prune "$PRUNED" --older-than 0s --dry-run >out 2>/dev/null
check "a dry run removes nothing" grep -q '^3 records to remove, 0 left' out
check_equal "really" 3 "$("$SBUILD" cache ls "$PRUNED" | grep -c k1-)"
sleep 1
"$SBUILD" cache prune "$PRUNED" --older-than 0s >out
check "prune removes what is old" grep -q '^3 records removed, 0 left' out
check_equal "nothing is left" "" "$("$SBUILD" cache ls "$PRUNED")"
check_fails "--older-than is required" 2 "$SBUILD" cache prune "$PRUNED"
start_registry kept plain REGISTRY_STORAGE_DELETE_ENABLED=false
build A --cache-to "$REGISTRY/cache" >/dev/null
sleep 1
check_fails "a registry that forbids it" 5 sh -c '"$SBUILD" cache prune "$1" --older-than 0s 2>err' sh "$REGISTRY/cache"
check "says so" grep -q 'must be switched on' err
