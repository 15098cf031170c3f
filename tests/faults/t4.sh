#!/bin/sh
# Two machines push at once: all tags agree afterwards, and who was overtaken says what was.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need curl
start_registry main
mkdir a b
printf 'name: app\nfrom: scratch\ntags: [semver]\nimage: {repository: %s/team/app}\nlayers: [{name: a, copy: {from: ".", to: /, exclude: ["*.yaml"]}}]\n' "$REGISTRY" >app.yaml
for m in a b; do cp app.yaml $m/ && echo "made on $m" >$m/file; done
consistent=yes honest=yes
for round in 1 2 3 4 5 6 7 8; do
	sed -i "s|team/app[0-9]*|team/app$round|" a/app.yaml b/app.yaml
	pids=
	for m in a b; do
		"$SBUILD" build $m/app.yaml --version 0.5.0 --push --store "$T/store-$m" >$m.digest 2>$m.err &
		pids="$pids $!"
	done
	for pid in $pids; do wait "$pid" || { honest="no: a push failed in round $round" && cat ./*.err; }; done
	winner=$(registry_digest team/app$round v0.5.0)
	loser=a
	[ "$winner" != "$(cat a.digest)" ] || loser=b
	for tag in v0.5 v0 latest; do
		[ "$(registry_digest team/app$round $tag)" = "$winner" ] || consistent="no: $tag in round $round"
	done
	# One that was overtaken while it pushed names all of it; one that was done before, nothing.
	warned=$(grep -c 'names another image' $loser.err || :)
	[ "$warned" = 0 ] || [ "$warned" = 4 ] || honest="no: $warned of 4 are named in round $round"
done
check_equal "all tags name one image" yes "$consistent"
check_equal "all that was overtaken is named" yes "$honest"
