#!/bin/sh
# Several tags on a commit, and tags that are no versions.
. tests/faults/lib.sh
need git
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_NOSYSTEM=1 HOME="$T"
tags() { # NAME: of a build with --store of its own
	"$SBUILD" app.yaml --store "$T/store-$1" 2>err >/dev/null || cat err
	sed -n 's/^  app:\(v[^ ]*\|latest\)$/\1/p' err | tr '\n' ' '
}
start() {
	rm -rf "$T/repo"
	mkdir -p "$T/repo/src"
	cd "$T/repo"
	git init -q -b main .
	printf 'name: app\nfrom: scratch\ntags: [semver]\nlayers: [{name: a, copy: {from: src, to: /}}]\n' >app.yaml
	echo one >src/file
	git add . && git commit -qm one
}
start
git tag v1.0.0 && git tag v1.0.1
check_equal "the highest of two" "v1.0.1 v1.0 v1 latest " "$(tags two)"
start
git tag -am rc v1.0.0-rc.1 && git tag v1.0.0
check_equal "a release beside its annotated candidate" "v1.0.0 v1.0 v1 latest " "$(tags rc)"
for odd in v1.2.3.4 v2024.01.15 v2.0.0beta1; do
	start
	git tag v1.2.3
	git tag $odd
	check_equal "beside $odd" "v1.2.3 v1.2 v1 latest " "$(tags "beside-$odd")"
	git tag -d $odd >/dev/null
	echo two >src/file && git commit -qam two && git tag $odd
	check_equal "before $odd" "" "$(tags "before-$odd")"
	check "after $odd: it says so" has err 'no release: 1 commit after v1\.2\.3; its version is 1\.2\.4-dev\.1'
done
