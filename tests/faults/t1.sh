#!/bin/sh
# A pipeline's store is always empty: what has been released is known to the registry alone.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need curl
start_registry main
mkdir src
printf 'name: app\nfrom: scratch\ntags: [semver]\nimage: {repository: %s/team/app}\nlayers: [{name: a, copy: {from: src, to: /}}]\n' "$REGISTRY" >app.yaml
push() { # VERSION: from a store of its own
	echo "$1" >src/file
	"$SBUILD" build app.yaml --version "$1" --push --store "$T/store-$1" >"$1.digest" 2>"$1.err"
}
names() { # VERSION TAG…
	version=$1
	shift
	for tag; do
		check_equal "$tag is $version" "$(cat "$version.digest")" "$(registry_digest team/app "$tag")"
	done
}
check "2.0.0" push 2.0.0
names 2.0.0 v2.0.0 v2.0 v2 latest
check "1.9.9 from an empty store" push 1.9.9
names 1.9.9 v1.9.9 v1.9 v1
names 2.0.0 v2.0.0 v2.0 v2 latest
check "it says so" has 1.9.9.err 'latest stays: v2.0.0'
check "1.9.8 from another" push 1.9.8
names 1.9.8 v1.9.8
names 1.9.9 v1.9.9 v1.9 v1
names 2.0.0 latest
