#!/bin/sh
# Indexes: pushed whole and joined platform by platform, by several at once, whatever the order; read by
# other tools; pulled, made, changed, exported.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
. "$TOP/tests/e2e/peers.lib"
need_root
need jq docker-registry curl python3
start_registry main
mkdir odd
"$TOP/tests/e2e/tags-proxy" "$REGISTRY" "$T/odd" >proxy.out 2>proxy.err &
registries="$registries $!"
wait_for_line 'listening on' proxy.out
PROXY=127.0.0.1:$(sed 's/listening on //' proxy.out)

# Two machines, each with an image of its own platform; of two layers one is the same.
mkdir app
echo shared >shared
cat >app.yaml <<END
name: app
from: scratch
compression: gzip
layers: [{name: shared, copy: {from: shared, to: /}}, {name: app, copy: {from: app, to: /app}}]
END
build() { # ARCHITECTURE TAG TEXT
	echo "$1 $3" >app/file
	"$SBUILD" app.yaml --tag "$2" --platform "linux/$1" --store "$T/$1" >/dev/null 2>err
}
on() { # ARCHITECTURE COMMAND…
	store=$T/$1
	shift
	"$SBUILD" "$@" --store "$store"
}
facts() { # NAME ARCHITECTURE COMMAND…: what it tells as JSON goes to facts.json
	name=$1 store=$T/$2
	shift 2
	check "$name" sh -c 'exec "$@" --json >facts.json' sh "$SBUILD" "$@" --store "$store"
}
digest() { # ARCHITECTURE TAG
	on "$1" inspect "app:$2" --json | jq -r .digest
}
platforms() { # REPOSITORY TAG: "amd64 arm64", as the registry has them
	registry_get "$1/manifests/$2" | jq -r '[.manifests[]? | .platform.architecture] | join(" ")'
}
of() { # REPOSITORY TAG ARCHITECTURE: the digest that is there for it
	registry_get "$1/manifests/$2" | jq -r --arg a "$3" '.manifests[]? | select(.platform.architecture == $a) | .digest'
}
for n in 1 2; do
	build amd64 $n $n
	build arm64 $n $n
done
amd64=$(digest amd64 1) arm64=$(digest arm64 1)

# ---- one after the other ----

check "the first pushes its platform" on amd64 push app:1 "$REGISTRY/team/app:v1" --platform linux/amd64
check_equal "which is an index of one" "amd64" "$(platforms team/app v1)"
facts "the second pushes its own" arm64 push app:1 "$REGISTRY/team/app:v1" --platform linux/arm64
check_equal "it is told what else there is" '["linux/arm64"] ["linux/amd64"]' "$(jq -c '.[0].platforms, .[0].platforms_beside' facts.json | paste -sd ' ')"
check_equal "both are there" "amd64 arm64" "$(platforms team/app v1)"
check_equal "by the digests that they have in the stores" "$amd64 $arm64" "$(of team/app v1 amd64) $(of team/app v1 arm64)"
check_equal "each has a tag of its own" "$amd64 $arm64" "$(registry_digest team/app v1-linux-amd64) $(registry_digest team/app v1-linux-arm64)"
index=$(registry_digest team/app v1)
facts "again" amd64 push app:1 "$REGISTRY/team/app:v1" --platform linux/amd64
check_equal "nothing is sent" "true 0 $index" "$(jq -r '.[0] | "\(.unchanged) \(.uploaded) \(.digest)"' facts.json)"
check_fails "an image of another platform is none of this one" 1 on amd64 push app:1 "$REGISTRY/team/app:v1" --platform linux/arm64
check_said 'made for linux/amd64, not for linux/arm64'

# ---- other tools ----

if have_peer skopeo; then
	check_equal "skopeo takes each platform's" "amd64 arm64" "$(for a in amd64 arm64; do
		peer skopeo --override-arch $a inspect --config --tls-verify=false "docker://$REGISTRY/team/app:v1" | jq -r .architecture
	done | paste -sd ' ')"
	check "skopeo copies all of it" peer skopeo copy -q --all --preserve-digests --src-tls-verify=false "docker://$REGISTRY/team/app:v1" oci:copied:v1
	check_equal "as it is" "$index" "$(jq -r '.manifests[0].digest' copied/index.json)"
else
	skip "skopeo is not installed"
fi
if have_peer crane; then
	check_equal "crane takes each platform's" "$amd64 $arm64" "$(peer crane digest --insecure --platform linux/amd64 "$REGISTRY/team/app:v1") $(peer crane digest --insecure --platform linux/arm64 "$REGISTRY/team/app:v1")"
	check "crane finds nothing wrong" peer crane validate --insecure --remote "$REGISTRY/team/app:v1"
else
	skip "crane is not installed"
fi
if have_peer podman; then
	for a in amd64 arm64; do
		check "podman pulls $a" peer_podman pull -q --tls-verify=false --arch $a "$REGISTRY/team/app:v1"
		check_equal "and has $a" $a "$(peer_podman image inspect --format '{{.Architecture}}' "$REGISTRY/team/app:v1" 2>/dev/null)"
	done
else
	skip "podman is not installed"
fi
if start_docker; then
	for a in amd64 arm64; do
		check "docker pulls $a" docker pull -q --platform linux/$a "$REGISTRY/team/app:v1"
		check_equal "and has $a" $a "$(docker image inspect --format '{{.Architecture}}' "$REGISTRY/team/app:v1")"
	done
else
	skip "docker does not run here"
fi

# ---- both at once ----

joins=${SB_JOINS:-5} lost=
for i in $(seq "$joins"); do
	on amd64 push app:1 "$REGISTRY/race/app:$i" --platform linux/amd64 >one.out 2>&1 &
	one=$!
	if [ $((i % 2)) = 0 ]; then
		on arm64 index "$REGISTRY/race/app:$i" --add app:1 >two.out 2>&1 || lost="$lost $i:arm64-failed"
	else
		on arm64 push app:1 "$REGISTRY/race/app:$i" --platform linux/arm64 >two.out 2>&1 || lost="$lost $i:arm64-failed"
	fi
	wait $one || lost="$lost $i:amd64-failed"
	[ "$(platforms race/app $i)" = "amd64 arm64" ] || lost="$lost $i"
done
check_equal "of $joins pushes of two at once all have both" "" "$lost"

# Releases, each built for one platform by each machine: floating tags name what the release's own does.
sed "s|^name: app|&\nplatforms: [linux/amd64, linux/arm64]\ntags: [semver]\nimage: {repository: $REGISTRY/race/release}|" app.yaml >release.yaml
lost=
for i in $(seq "$joins"); do
	echo "$i" >app/file
	on one release.yaml --push --platform linux/amd64 --version "1.0.$i" >one.out 2>&1 &
	one=$!
	on two release.yaml --push --platform linux/arm64 --version "1.0.$i" >two.out 2>&1 || lost="$lost $i:arm64-failed"
	wait $one || lost="$lost $i:amd64-failed"
	for tag in "v1.0.$i" v1.0 v1 latest; do
		[ "$(platforms race/release "$tag") $(registry_digest race/release "$tag")" = "amd64 arm64 $(registry_digest race/release "v1.0.$i")" ] ||
			lost="$lost $i:$tag"
	done
done
check_equal "of $joins releases built and pushed by two at once all have both, under all tags" "" "$lost"
check "all of a release" on one release.yaml --push --version 9.0.0
check_equal "is in the registry as in the store" "$(on one inspect app:v9.0.0 --json | jq -r .digest)" "$(registry_digest race/release v9.0.0)"
sent() { registry_log main | grep -c '"PUT /v2/race/release/blobs/uploads/' || :; }
head -c 100000 /dev/urandom >shared
before=$(sent)
check "with a layer that both share" on one release.yaml --push --version 9.0.0-rc.1
check_equal "that one is sent once, and two configs" 3 "$(($(sent) - before))"
echo changed >app/file
check "a platform's image is built anew" on one release.yaml --push --platform linux/amd64 --version 9.0.0
cp .check said
check_said "v9.0.0 named another image for linux/amd64 until now"
check "and the other's" on two release.yaml --push --platform linux/arm64 --version 9.0.1
! grep -q 'named another' .check || check "adding a platform replaces nothing" false
check_equal "latest is the highest's" "arm64" "$(platforms race/release latest)"

# One after the other of a push's steps, the other's whole push comes between.
printf '#!/bin/sh\nexec "%s" push app:1 "%s/$1:v1" --platform linux/arm64 --store "%s/arm64"\n' "$SBUILD" "$REGISTRY" "$T" >odd/hook
chmod +x odd/hook
for way in before-v1 after-v1 before-v1-linux-amd64 after-v1-linux-amd64; do
	check "$way: another platform" on amd64 push app:1 "$PROXY/$way/app:v1" --platform linux/amd64
	check_equal "$way: both" "amd64 arm64" "$(platforms $way/app v1)"
done
# The same platform by two: the tag and its marker agree, and the other is told.
printf '#!/bin/sh\nexec "%s" push app:2 "%s/$1:v1" --platform linux/amd64 --store "%s/amd64"\n' "$SBUILD" "$REGISTRY" "$T" >odd/hook
for way in before-v1 after-v1; do
	facts "$way: the same platform" amd64 push app:1 "$PROXY/$way/same:v1" --platform linux/amd64
	check_equal "$way: the one that was pushed last" "$(digest amd64 2) $(digest amd64 2)" "$(of $way/same v1 amd64) $(registry_digest $way/same v1-linux-amd64)"
	check_equal "$way: and the other is told" '["linux/amd64"]' "$(jq -c '.[0].platforms_overtaken' facts.json)"
done
for way in conditions unmet; do
	check "$way" on amd64 push app:1 "$PROXY/$way/app:v1" --platform linux/amd64
	check "$way: the second" on arm64 push app:1 "$PROXY/$way/app:v1" --platform linux/arm64
	check_equal "$way: both" "amd64 arm64" "$(platforms $way/app v1)"
done

# ---- registries that won't ----

check_fails "a registry that takes no index" 5 on amd64 push app:1 "$PROXY/no-index/app:v1" --platform linux/amd64
check_said 'PUT manifest v1'
check_said 'takes no index'
check_fails "one that forgets it" 6 on amd64 push app:1 "$PROXY/forget-v1/app:v1" --platform linux/amd64
check_said 'the registry took the index sha256:[0-9a-f]*, and has nothing under v1 now'
for way in immutable harbor; do
	check "$way: the first platform" on amd64 push app:1 "$PROXY/$way/app:v1" --platform linux/amd64
	check_fails "$way: no second one" 5 on arm64 push app:1 "$PROXY/$way/app:v1" --platform linux/arm64
	check_said 'the tag v1 is immutable'
	check_said 'push all platforms at once'
	check_equal "$way: the tag is as it was" "amd64" "$(platforms $way/app v1)"
done

# ---- what was there before ----

check "a lone image" on amd64 push app:1 "$REGISTRY/lone/app:v1"
check "an image for another platform" on arm64 push app:1 "$REGISTRY/lone/app:v1" --platform linux/arm64
cp .check said
check_said 'the image that was there alone is now the index.s for linux/amd64'
check_equal "both" "$amd64 $arm64" "$(of lone/app v1 amd64) $(of lone/app v1 arm64)"
check "one for the same platform" on amd64 push app:2 "$REGISTRY/lone/app:v1" --platform linux/amd64
check_equal "takes its place" "$(digest amd64 2) $arm64" "$(of lone/app v1 amd64) $(of lone/app v1 arm64)"
curl -s -X DELETE "http://$REGISTRY/v2/lone/app/manifests/$arm64"
check_fails "an index that lost an image" 5 on amd64 push app:1 "$REGISTRY/lone/app:v1" --platform linux/amd64
check_said 'names an image for linux/arm64 that is not there any more'
check "it can be taken out" on amd64 index "$REGISTRY/lone/app:v1" --remove linux/arm64
check "and then" on amd64 push app:1 "$REGISTRY/lone/app:v1" --platform linux/amd64
check_equal "the rest is as it should be" "amd64" "$(platforms lone/app v1)"

check "a push of one image alone" on arm64 push app:1 "$REGISTRY/lone/app:v1" --platform linux/arm64
check "in place of an index" on amd64 push app:2 "$REGISTRY/lone/app:v1"
cp .check said
check_said 'there is no image any more for linux/arm64'
check_equal "is alone" "application/vnd.oci.image.manifest.v1+json" "$(registry_get lone/app/manifests/v1 | jq -r .mediaType)"
check "another platform beside it" on arm64 push app:2 "$REGISTRY/lone/app:v1" --platform linux/arm64
check_equal "brings nothing back that was there before" "$(digest amd64 2) $(digest arm64 2)" "$(of lone/app v1 amd64) $(of lone/app v1 arm64)"

# What others put there stays; what is said of an image goes with it, and with the whole index elsewhere.
put_blob() { # REPOSITORY FILE: its digest
	sum=sha256:$(sha256sum <"$2" | cut -d' ' -f 1)
	where=$(curl -sf -X POST -D - -o /dev/null "http://$REGISTRY/v2/$1/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //Ip')
	curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$2" "$where&digest=$sum" >/dev/null
	echo "$sum"
}
echo '{"_type":"https://in-toto.io/Statement/v0.1"}' >statement
echo '{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":[]}}' >none.json
jq -n -c --arg c "$(put_blob team/app none.json)" --arg s "$(put_blob team/app statement)" --argjson n "$(wc -c <none.json)" --argjson m "$(wc -c <statement)" \
	'{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
	config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $c, size: $n},
	layers: [{mediaType: "application/vnd.in-toto+json", digest: $s, size: $m}]}' | tr -d '\n' >attestation.json
attestation=sha256:$(sha256sum <attestation.json | cut -d' ' -f 1)
curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary @attestation.json "http://$REGISTRY/v2/team/app/manifests/$attestation"
registry_get team/app/manifests/v1 | jq -c --arg d "$amd64" --arg a "$attestation" --argjson n "$(wc -c <attestation.json)" '.manifests += [
	{mediaType: .mediaType | sub("index"; "manifest"), digest: $a, size: $n, platform: {os: "unknown", architecture: "unknown"},
	annotations: {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": $d}}] | .annotations = {by: "another"}' >foreign.json
curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' --data-binary @foreign.json "http://$REGISTRY/v2/team/app/manifests/foreign"
foreign=$(registry_digest team/app foreign)
check "it is pulled with the index" env SBUILD_STORE="$T/attested" "$SBUILD" pull "$REGISTRY/team/app:foreign" --all-platforms
check "kept" on attested prune
check "and pushed" on attested push "$REGISTRY/team/app:foreign" "$REGISTRY/elsewhere/app:foreign"
check_equal "as it was" "$foreign" "$(registry_digest elsewhere/app foreign)"
check_equal "with what it says" "$(cat statement)" "$(registry_get "elsewhere/app/blobs/$(jq -r '.layers[0].digest' attestation.json)")"
check "an index of another tool" on arm64 push app:2 "$REGISTRY/team/app:foreign" --platform linux/arm64
check_equal "keeps what it has" "3 another" "$(registry_get team/app/manifests/foreign | jq -r '"\(.manifests | length) \(.annotations.by)"')"
check "the image that was attested is replaced" on amd64 push app:2 "$REGISTRY/team/app:foreign" --platform linux/amd64
check_equal "and its attestation is gone" "2 another" "$(registry_get team/app/manifests/foreign | jq -r '"\(.manifests | length) \(.annotations.by)"')"

# ---- pulled, and what is done with it ----

check "all of an index is pulled" on third pull "$REGISTRY/team/app:v1" --all-platforms
check_equal "by its digest" "$index" "$(tail -n 1 .check)"
check_equal "it is one row" "linux/amd64 linux/arm64" "$(on third images --json | jq -r '.[0].platforms | join(" ")')"
check_equal "of three layers, one shared" 3 "$(on third images --json | jq -r '.[0].layers')"
check_equal "inspect lists them" "$amd64 $arm64" "$(on third inspect "$REGISTRY/team/app:v1" --json | jq -r '[.images[].digest] | join(" ")')"
check_equal "one of them" "$arm64 arm64" "$(on third inspect "$REGISTRY/team/app:v1" --platform linux/arm64 --json | jq -r '.digest + " " + .architecture')"
check_fails "none for another" 1 on third inspect "$REGISTRY/team/app:v1" --platform linux/s390x
check_said 'not made for linux/s390x'
check "its files" on third ls "$REGISTRY/team/app:v1" /app --platform linux/arm64
check "a prune" on third prune
check "takes nothing of it" on third push "$REGISTRY/team/app:v1" "$REGISTRY/whole/app:v1.2.3"
check_equal "it goes as it is" "$index" "$(registry_digest whole/app v1.2.3)"
facts "the same again" third push "$REGISTRY/team/app:v1" "$REGISTRY/whole/app:v1.2.3"
check_equal "sends nothing" true "$(jq '.[0].unchanged' facts.json)"
check "export" on third export "$REGISTRY/team/app:v1" -o index.tar
check "the same bytes" on third export "$REGISTRY/team/app:v1" -o again.tar
check "each time" cmp index.tar again.tar
check_equal "each blob is in it once" "8 8" "$(tar -tf index.tar | grep -c '^blobs/sha256/.') $(tar -tf index.tar | grep '^blobs/sha256/.' | sort -u | wc -l)"
! have_peer skopeo || check_equal "skopeo reads it" arm64 \
	"$(peer skopeo --override-arch arm64 inspect --config "oci-archive:index.tar" | jq -r .architecture)"
check "it comes back whole" env SBUILD_STORE="$T/fourth" "$SBUILD" tag oci-archive:index.tar back:v1 --all-platforms
check_equal "as it was" "$index" "$(on fourth inspect back:v1 --json | jq -r .digest)"
check "with all that it needs" on fourth export back:v1 -o back.tar
check "or this machine's alone" on fourth tag oci-archive:index.tar back:one
check_equal "that" "$(case $(uname -m) in aarch64) echo "$arm64" ;; *) echo "$amd64" ;; esac)" "$(on fourth inspect back:one --json | jq -r .digest)"
check "one alone" on third export "$REGISTRY/team/app:v1" --platform linux/arm64 -o one.tar
check_equal "is smaller" 4 "$(tar -tf one.tar | grep -c '^blobs/sha256/.')"
check "gzip for all" on third push "$REGISTRY/team/app:v1" "$REGISTRY/whole/app:docker" --format docker
check_equal "is Docker's list" "application/vnd.docker.distribution.manifest.list.v2+json amd64 arm64" \
	"$(registry_get whole/app/manifests/docker | jq -r .mediaType) $(platforms whole/app docker)"

# ---- sbuild index ----

check "made in the store" on amd64 index both:v1 app:1 "$REGISTRY/team/app:v1-linux-arm64"
check_equal "the same index" "$index" "$(on amd64 inspect both:v1 --json | jq -r .digest)"
check "made in a registry, from another repository" on amd64 index "$REGISTRY/made/app:v1" "$REGISTRY/team/app:v1"
check_equal "the same" "$index" "$(registry_digest made/app v1)"
check "replaced by less" on amd64 index "$REGISTRY/made/app:v1" app:1
cp .check said
check_said 'there is no image any more for linux/arm64'
check "added to by hand" on arm64 index "$REGISTRY/made/app:v1" --add app:2
check_equal "both" "$amd64 $(digest arm64 2)" "$(of made/app v1 amd64) $(of made/app v1 arm64)"
check "taken out" on amd64 index "$REGISTRY/made/app:v1" --remove linux/arm64
check "and not brought back by the next" on amd64 push app:2 "$REGISTRY/made/app:v1" --platform linux/amd64
check_equal "one" amd64 "$(platforms made/app v1)"
check_fails "what isn't there can't be taken out" 5 on amd64 index "$REGISTRY/made/app:v1" --remove linux/s390x
check_said 'has no image for linux/s390x'
check_fails "nor from nothing" 5 on amd64 index "$REGISTRY/made/app:none" --remove linux/s390x
check_fails "nor in the store" 1 on amd64 index both:v1 --remove linux/s390x
check_fails "the last stays" 2 on amd64 index "$REGISTRY/made/app:v1" --remove linux/amd64
check_fails "two for one platform" 2 on amd64 index "$REGISTRY/made/app:v1" app:1 app:2
check_said 'one more image for linux/amd64'
check_equal "shown" "linux/amd64" "$(on amd64 index "$REGISTRY/made/app:v1" --json | jq -r '.images[].platform')"
check_fails "not an index" 1 on amd64 index app:1
