#!/bin/sh
# Only a clean tree at exactly the tagged commit is a release.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need curl git jq
start_registry main
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_NOSYSTEM=1 HOME="$T"
mkdir -p repo/src
cd repo
git init -q -b main .
printf 'name: app\nfrom: scratch\ntags: [semver, git]\nimage: {repository: %s/team/app}\nlayers: [{name: a, copy: {from: src, to: /}}]\n' "$REGISTRY" >app.yaml
echo one >src/file
git add . && git commit -qm one && git tag v0.5.0
check "the release" "$SBUILD" app.yaml --push --metadata-file ../release.json
release=$(jq -r .digest ../release.json)
stays() { # WHAT
	for tag in v0.5.0 v0.5 v0 latest; do
		check_equal "$1: $tag stays" "$release" "$(registry_digest team/app $tag)"
	done
}
stays "itself"
later() { # WHAT VERSION
	check "$1: a build" sh -c '"$0" app.yaml --push --metadata-file ../later.json >../out 2>../err' "$SBUILD"
	stays "$1"
	check "$1: its version" expr "$("$SBUILD" inspect "$(jq -r .digest ../later.json)" --json | jq -r '.. | .["org.opencontainers.image.version"]? // empty' | head -n 1)" : "$2\$"
	check "$1: it says so" has ../err 'no release'
	check "$1: the commit's tag" [ "$(registry_digest team/app "$(git rev-parse --short HEAD)$3")" = "$(jq -r .digest ../later.json)" ]
}
echo two >src/file
later "a dirty tree" '0\.5\.1-dev\.0+g[0-9a-f]*\.dirty' -dirty
git commit -qam two
later "a commit after it" '0\.5\.1-dev\.1+g[0-9a-f]*' ''
git checkout -q -b other
later "a branch" '0\.5\.1-dev\.1+g[0-9a-f]*' ''
git checkout -q --detach
later "a detached head" '0\.5\.1-dev\.1+g[0-9a-f]*' ''
git checkout -q v0.5.0
check "the release again" "$SBUILD" app.yaml --push
stays "again"
