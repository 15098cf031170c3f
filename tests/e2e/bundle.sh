#!/bin/sh
# Bundles: their bytes, what a registry and other tools make of them, and what systemd says to the units.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
. "$TOP/tests/e2e/peers.lib"
need jq docker-registry curl

start_registry main
mkdir -p app
printf '#!/usr/bin/python3\nprint("hello")\n' >app/main.py
chmod +x app/main.py
head -c 2000000 /dev/urandom >app/noise
recipe() { # NAME VERSION
	cat >"$1.yaml" <<END
name: $1
version: $2
tags: [semver]
from: scratch
layers:
  - {name: large, copy: {from: app/noise, to: /usr/lib/noise}}
  - {name: app, copy: {from: app, to: /app, exclude: [noise]}}
image:
  repository: $REGISTRY/team/$1
  user: "1000:1000"
  workdir: /app
  env: {APP_VERSION: "$2"}
  entrypoint: [/app/main.py]
service: {port: 8003, health: {http: /health}, gpu: 1, secrets: [key], directories: {state: /data}}
END
}
manifest() { # TAG: from the registry
	registry_get "team/backend/manifests/$1"
}
recipe backend 1.2.3

# ---- in the store ----

check "a bundle" "$SBUILD" bundle backend.yaml --metadata-file one.json
bundle=$(jq -r .digest one.json) image=$(jq -r .image.digest one.json)
tagged() { jq -r --arg tag "$1" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $tag) | .digest' \
	"$SBUILD_STORE/index.json"; }
check_equal "it stands beside the image" "$image $bundle $bundle" \
	"$(tagged backend:v1.2.3) $(tagged backend:bundle-v1.2.3) $(tagged backend:bundle-latest)"
file() { echo "$SBUILD_STORE/blobs/sha256/${1#sha256:}"; }
check_equal "it is an artifact, of the image" "application/vnd.dev.sbuild.bundle.v1 $image" \
	"$(jq -r '.artifactType + " " + .subject.digest' "$(file "$bundle")")"
check_equal "its layers are the image's and one more" "$(jq -c '.layers' "$(file "$image")")" \
	"$(jq -c '.layers[:-1]' "$(file "$bundle")")"
check "which is a few kilobytes" test "$(jq .layer.size one.json)" -lt 8192
check_equal "config and manifest have as many layers" 3 \
	"$(jq '.rootfs.diff_ids | length' "$(file "$(jq -r .config.digest "$(file "$bundle")")")")"
check "again: the same digest" "$SBUILD" bundle backend.yaml --metadata-file two.json
check_equal "of the same bytes" "$bundle" "$(jq -r .digest two.json)"
SBUILD_STORE=$T/other "$SBUILD" bundle backend.yaml --no-cache --metadata-file two.json >/dev/null 2>&1
check_equal "in another store as well" "$bundle" "$(jq -r .digest two.json)"
check "pruning keeps it" "$SBUILD" prune --older-than 1s --keep-tagged
check "with all that it needs" "$SBUILD" export backend:bundle-v1.2.3 -o kept.tar
check_store "the store"

# ---- files ----

check "an archive and units" "$SBUILD" bundle backend.yaml -o bundle.tar --units units
check "the archive is that of the store" cmp bundle.tar kept.tar
mkdir layout
tar -C layout -xf bundle.tar
check_equal "it is an OCI layout" "$bundle backend:bundle-v1.2.3" \
	"$(jq -r '.manifests[0] | .digest + " " + .annotations["org.opencontainers.image.ref.name"]' layout/index.json)"
mkdir tree
"$SBUILD" export backend:bundle-v1.2.3 --format rootfs | tar -C tree -xf -
check "the description is canonical JSON" sh -c "jq -jcS . tree/usr/lib/sbuild/bundle/description.json | cmp - tree/usr/lib/sbuild/bundle/description.json"
check "and the one that is shown" sh -c "jq -jcS . units/description.json | cmp - tree/usr/lib/sbuild/bundle/description.json"
check_equal "so are the units" "" "$(cd tree/usr/lib/sbuild/bundle/units && for unit in *; do cmp "$unit" "$T/units/$unit" || :; done)"
check_equal "nothing of this machine is in it" "" "$(grep -rl "$T" tree/usr/lib/sbuild/bundle || :)"

# ---- systemd ----

if command -v systemd-analyze >/dev/null; then
	# All but the program, which is in the image alone: docs/operations.md tells how that is shown to it.
	systemd-analyze verify units/backend.service >verified 2>&1 || :
	check_equal "systemd-analyze verify misses the program alone" \
		"backend.service: Command /.sbuild/init is not executable: No such file or directory" "$(grep -v '^SYSTEMD_' verified)"
	if [ "$(systemd-analyze --version | sed -nE '1s/systemd ([0-9]+).*/\1/p')" -ge 250 ]; then
		verify() { # RECIPE NAME: its units in a root that has image and host
			mkdir -p "root-$2/etc/systemd/system" "root-$2/usr/lib/systemd"
			"$SBUILD" bundle "$1" --name "$2" --units "units-$2" >/dev/null 2>&1
			"$SBUILD" export "$(jq -r .image.digest "units-$2/description.json")" --format rootfs | tar -xf - -C "root-$2"
			install -D /bin/true "root-$2/.sbuild/init"
			cp "units-$2"/*.service "units-$2"/*.mount "root-$2/etc/systemd/system/"
			cp -r /usr/lib/systemd/system "root-$2/usr/lib/systemd/"
			check "systemd-analyze verify of $2 finds nothing" systemd-analyze verify --root="root-$2" "$2.service"
			check_equal "and says nothing" "" "$(grep -v '^SYSTEMD_' .check || :)"
		}
		verify backend.yaml verified
		printf '[Service]\nExecStartPre=/not/there\n' >>root-verified/etc/systemd/system/verified.service
		check_fails "it finds what is wrong" 1 systemd-analyze verify --root=root-verified verified.service
		sed '/^from:/s/:.*/: scratch/; /^tags:/s/:.*/: [semver]/' "$TOP/recipes/backend.yaml" >shipped.yaml
		cp -r "$TOP/recipes/backend" .
		check "the units of the shipped example" "$SBUILD" bundle shipped.yaml --name shipped --units shipped
		for unit in units/backend.service shipped/shipped.service; do
			systemd-analyze security --offline=true "$unit" >security 2>&1 || :
			check "$unit is rated OK or better: $(tail -n 1 security)" grep -qE 'level for .*: [0-2]\.[0-9] (OK|SAFE|PERFECT)' security
		done
	else
		skip "systemd-analyze security --offline needs systemd 250"
	fi
else
	skip "systemd-analyze is not installed"
fi

# ---- in a registry ----

check "pushed" "$SBUILD" bundle backend.yaml --push --metadata-file pushed.json
check_equal "image and bundle" "$image $bundle" "$(jq -r '[.pushed[].digest] | join(" ")' pushed.json)"
check_equal "of the bundle only its layer and its config" 2 "$(jq '.pushed[1].uploaded' pushed.json)"
for tag in v1.2.3 v1.2 v1 latest; do
	check_equal "bundle-$tag" "$bundle" "sha256:$(manifest bundle-$tag | sha256sum | cut -d' ' -f1)"
	check_equal "$tag" "$image" "sha256:$(manifest $tag | sha256sum | cut -d' ' -f1)"
done
curl -sf "http://$REGISTRY/v2/team/backend/manifests/sha256-${image#sha256:}" \
	-H 'Accept: application/vnd.oci.image.index.v1+json' >referrers.json || :
check_equal "it is a referrer of the image" "$bundle application/vnd.dev.sbuild.bundle.v1" \
	"$(jq -r '.manifests[] | .digest + " " + .artifactType' referrers.json)"
check "the next release" "$SBUILD" bundle backend.yaml --version 1.2.4 --push --metadata-file next.json
check_equal "is another bundle of the same image" "$image false 0" \
	"$(jq -r '[.image.digest, (.digest == "'"$bundle"'"), .pushed[0].uploaded] | join(" ")' next.json)"
check_fails "a bundle of a bundle" 1 "$SBUILD" bundle backend:bundle-v1.2.3
check "it can be pulled like an image" env SBUILD_STORE="$T/pulled" "$SBUILD" pull "$REGISTRY/team/backend:bundle-v1.2.4"
check_equal "byte for byte" "$(jq -r .digest next.json)" \
	"$(SBUILD_STORE="$T/pulled" "$SBUILD" images --json | jq -r '.[0].digest')"

"$SBUILD" tag backend:v1.2.3 "$REGISTRY/team/backend:anew"
check "compressed anew" "$SBUILD" bundle "$REGISTRY/team/backend:anew" --push --compression gzip --metadata-file gzip.json
same_layers() { # FACTS: the bundle in the registry has the layers of its image there, of this type
	manifest "$(jq -r '.pushed[0].digest' "$1")" >image.json
	manifest "$(jq -r '.pushed[1].digest' "$1")" >own.json
	check_equal "the bundle is of the image as it was pushed" "$(jq -r '.pushed[0].digest' "$1")" "$(jq -r .subject.digest own.json)"
	check_equal "with its layers" "$(jq -c '[.layers[].digest]' image.json)" "$(jq -c '[.layers[:-1][].digest]' own.json)"
	check_equal "which are $2" "$2" "$(jq -r '[.layers[].mediaType | split("+")[1] // split(".")[-1]] | unique | join(" ")' own.json)"
}
same_layers gzip.json gzip
check "in Docker's format" "$SBUILD" bundle backend.yaml --version 4.0.0 --push --format docker --metadata-file docker.json
check_equal "of the image" "application/vnd.docker.distribution.manifest.v2+json application/vnd.oci.image.manifest.v1+json" \
	"$(jq -r '[.pushed[].media_type] | join(" ")' docker.json)"
check_fails "not zstd in Docker's format" 2 "$SBUILD" bundle backend.yaml --push --format docker --compression zstd

# ---- other tools ----

name=$REGISTRY/team/backend
if have_peer skopeo; then
	check "skopeo copies it" peer skopeo copy -q --insecure-policy --preserve-digests --src-tls-verify=false \
		"docker://$name:bundle-v1.2.3" oci:skopeo:x
	check_equal "unchanged" "$bundle" "$(jq -r '.manifests[0].digest' skopeo/index.json)"
	check_equal "and reads the archive" "$bundle" "$(peer skopeo inspect --format '{{.Digest}}' oci-archive:bundle.tar)"
else
	skip "skopeo is not installed"
fi
if have_peer crane; then
	sed 's/^version: .*/version: 2.0.0\ncompression: gzip/' backend.yaml >gzip.yaml
	check "in gzip, which crane can read" "$SBUILD" bundle gzip.yaml --push
	check "crane validates it" peer crane validate --insecure --remote "$name:bundle-v2.0.0"
else
	skip "crane is not installed"
fi
if have_peer oras; then
	peer oras discover --plain-http --format json "$name:v1.2.3" >discovered 2>err || :
	check "oras finds it at the image" grep -q "\"$bundle\"" discovered
	check "and copies both to a layout" peer oras copy -r --from-plain-http "$name:v1.2.3" --to-oci-layout oras:x
	check "with the bundle" test -e "oras/blobs/sha256/${bundle#sha256:}"
else
	skip "oras is not installed"
fi

# ---- of an image alone ----

check "of an image in the registry" env SBUILD_STORE="$T/lazy" "$SBUILD" bundle "$REGISTRY/team/backend:v1.2.3" \
	--name alone --push --units alone
check_equal "as its config says" "1000:1000 0 []" "$(jq -r '.user + " \(.port) \(.secrets)"' alone/description.json)"
check_equal "its layers stay there" 5 "$(find lazy/blobs/sha256 -type f | grep -c '')"
check_fails "an image that is nowhere" 5 "$SBUILD" bundle "$REGISTRY/team/nothing:v1"
