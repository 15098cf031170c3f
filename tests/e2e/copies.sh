#!/bin/sh
# Some hundred generated copies: onto bases with links, odd modes and whiteouts, of contexts with all that
# a copy meets. One tree, whether the layer is made of copies alone, has steps too, or stands on a base in
# a registry that is not here; and BuildKit's and buildah's, but for what docs/recipe.md says is another.
# SB_COPIES says how many (150), SB_COPIES_SEED which, SB_COPIES_ALONE how many of those that can't be
# built together are built by BuildKit, and how many by buildah.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
. "$TOP/tests/e2e/peers.lib"
need_root
need python3 runc
count=${SB_COPIES:-150} seed=${SB_COPIES_SEED:-1} alone=${SB_COPIES_ALONE:-12}
copies() { python3 "$TOP/tests/e2e/copies.py" "$@"; }

start_registry main
export COPIES_REGISTRY="$REGISTRY"
busybox_root all
mkdir -p w/shell/bin w/shell/proc w/shell/sys w/shell/dev w/shell/etc w/trees
cp all/bin/busybox w/shell/bin
for applet in sh true rm mkdir; do ln -s busybox w/shell/bin/$applet; done
printf 'name: shell\nfrom: scratch\nlayers: [{name: shell, copy: {from: shell, to: /}}]\n' >w/shell.yaml
check "cases are made" copies make w "$count" "$seed"

# ---- sbuild ----

cat >one <<'END'
# KIND NAME: builds and exports one
[ "$1" != remote ] || export SBUILD_STORE="$T/remote"
if "$SBUILD" "w/$1-$2.yaml" >"w/trees/$1-$2.out" 2>&1; then
	{ "$SBUILD" export "$1-$2:latest" --format rootfs -o - 2>"w/trees/$1-$2.out" || echo "$1-$2: no export" >&3; } |
		tar -f - --delete bin/busybox >"w/trees/$1-$2.tar"
else
	mv "w/trees/$1-$2.out" "w/trees/$1-$2.failed"
fi
END
bases=$(cd w && ls base*.yaml | sed 's/\.yaml//')
for base in $bases; do
	check "$base is built" "$SBUILD" "w/$base.yaml"
	check "$base is pushed" "$SBUILD" push "$base:latest" "$REGISTRY/$base:latest"
	check "$base is exported" "$SBUILD" export "$base:latest" --format rootfs -o "w/trees/$base.tar"
done
for kind in pure mixed remote; do
	began=$(date +%s)
	seq 0 $((count - 1)) | SBUILD=$SBUILD T=$T xargs -P "$(nproc)" -I N sh one $kind caseN 3>"$kind.out"
	check "$kind: all is exported" test ! -s $kind.out
	check "$kind: the trees are right" copies compare w $kind
	note "$(tail -n 1 .check), in $(($(date +%s) - began)) s"
done

# What two sources do to one another depends on what is there: here the first goes through a link, which the second replaces.
mkdir -p w/twice/a/d w/links/real
echo 1 >w/twice/a/d/file
ln -s elsewhere w/twice/d
ln -s real w/links/d
printf 'name: links\nfrom: shell.yaml\nlayers: [{name: l, copy: {from: links, to: /}}]\n' >w/links.yaml
printf 'name: twice\nfrom: links.yaml\ncontext: twice\nlayers: [{name: l, steps: [{run: true}, {copy: {from: [a, d], to: /}}]}]\n' >w/twice.yaml
check "of two sources the second replaces what the first went through" "$SBUILD" w/twice.yaml
"$SBUILD" export twice:latest --format rootfs -o twice.tar 2>/dev/null
check_equal "the link is the second's" "d -> elsewhere" "$(tar -tvf twice.tar d | sed 's/.* d/d/')"
check "the file is where the first led" tar -xOf twice.tar real/file

# ---- BuildKit ----

batches() { # KIND: those that should build, 50 at a time, then one by one as many as there is time for
	awk '$2 == "together" { print $1 }' plan | xargs -n 50 | nl -w1 -s' ' >"$1.batches"
}
buildkit() { # NUMBER CASE…
	batch=$1
	shift
	copies dockerfile w "$@" >w/Dockerfile
	(cd w && tar -cf - Dockerfile "$@") | docker build --quiet --network none --output "type=tar,dest=$T/buildkit-$batch.tar" - >"buildkit-$batch.log" 2>&1 &&
		copies split w buildkit "$T/buildkit-$batch.tar" && rm "buildkit-$batch.tar"
}
copies plan w >plan
if start_docker; then
	for base in $bases; do
		"$SBUILD" export "$base:latest" --format docker-archive | docker load >>docker-load.log 2>&1
	done
	batches buildkit
	while read -r batch; do
		# shellcheck disable=SC2086 # words are wanted
		check "BuildKit builds" buildkit $batch
	done <buildkit.batches
	awk '$2 == "alone" { print $1 }' plan | head -n "$alone" >alone
	while read -r case; do
		buildkit "$case" "$case" || cp "buildkit-$case.log" "w/trees/buildkit-$case.failed"
	done <alone
	check "BuildKit's trees are the same" copies compare w buildkit
	note "$(tail -n 1 .check)"
else
	skip "docker is not running"
fi

# ---- buildah ----

if have_peer buildah; then
	cat >buildah.sh <<'END'
# CASE BASE: its copies are lines of a file
b() { buildah --root "$PWD/containers" --runroot "$PWD/containers-run" --storage-driver overlay "$@"; }
while read -r case base; do
	container=$(b from --pull-never "$base") || exit 1
	if sh -e "w/$case.buildah" "$container" >"w/trees/buildah-$case.out" 2>&1; then
		tar -C "$(b mount "$container")" --exclude ./bin/busybox -cf "w/trees/buildah-$case.tar" .
	else
		mv "w/trees/buildah-$case.out" "w/trees/buildah-$case.failed"
	fi
	b rm "$container" >/dev/null
done <buildah.cases
END
	for base in $bases; do
		peer_buildah pull -q "oci:store:$base:latest" >"$base.id"
	done
	check "buildah is told what to do" copies buildah w "$alone"
	check "buildah copies" peer sh buildah.sh
	check "buildah's trees are the same" copies compare w buildah
	note "$(tail -n 1 .check)"
else
	skip "there is no buildah (ci/peers setup tools)"
fi
