#!/bin/sh
# What sources of copies and ignore files stand for is what BuildKit makes of the same: generated contexts,
# .dockerignore files and COPY instructions, some hundred in each docker build.
#
# SB_TEST_SOURCES is how many (150), SB_TEST_SEED which.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
need_root
need python3
count=${SB_TEST_SOURCES:-150} batch=75 # a chain of layers has an end
py="python3 $TOP/tests/e2e/copy-sources.py"

mkdir cases anchor trees
touch anchor/anchor
$py make cases "$count" "${SB_TEST_SEED:-1}"
start_docker || skip_all "docker does not run here"

# Of what sbuild refuses BuildKit must find nothing, either.
refused=0
for n in $(seq 0 $((count - 1))); do
	if "$SBUILD" "cases/$n.yaml" >"cases/$n.log" 2>&1; then
		"$SBUILD" export "case$n:latest" --format rootfs -o "cases/$n.tar" >/dev/null 2>&1 || exit 1
	else
		refused=$((refused + 1))
		grep -Eq 'left out by the context|nothing in the context|No such file|a part of the path is not a dir' "cases/$n.log" ||
			check "case $n is refused as nothing is there: $(cat "cases/$n.log")" false
	fi
done

build_cases() { # NUMBER…
	# shellcheck disable=SC2046 # words are wanted
	$py dockerfile cases "$@" >Dockerfile &&
		docker build --quiet --network none --build-context anchor=anchor \
			$(printf -- '--build-context c%s=cases/%s ' $(for n; do echo "$n" "$n"; done)) \
			--output type=local,dest=trees --file Dockerfile anchor
}

check_batch() { # NUMBER…
	check "docker builds cases $1 to $(eval "echo \$$#")" build_cases "$@"
	check "and takes what sbuild does" $py compare cases trees "$@"
}

# shellcheck disable=SC2046 # words are wanted
set -- $(seq 0 $((count - 1)))
while [ $# -gt 0 ]; do
	some=
	while [ $# -gt 0 ] && [ "$(echo "$some" | wc -w)" -lt $batch ]; do
		some="$some $1"
		shift
	done
	# shellcheck disable=SC2086
	check_batch $some
done
note "$count cases compared, of which sbuild found nothing in $refused"
