#!/bin/sh
# Recipes of recipes/gallery that get packages from PyPI, npm and the Go proxy: they are built, their tests run
# in the image as its user, and a change of one line builds only what it must. The others, and the same by
# buildah: make gallery.
#
#   WORKED="web-ui tool-cargo"       others than these
. tests/e2e/lib.sh
. "$TOP/tests/e2e/gallery.lib"
need_root
need python3 jq runc
gallery_begin

build() { # NAME
	"$SBUILD" "gallery/$1/recipe.yaml" --progress plain >"$1.out" 2>&1
}
without_index() { # NAME: what the build said is that nothing can be fetched
	grep -E 'Could not (resolve|connect)|Network is unreachable|EAI_AGAIN|ENOTFOUND|dial tcp|dns error|No matching distribution|Failed to fetch|ECONNREFUSED' "$1.out" | tail -n 1
}
built() { # NAME
	sed -nE 's/^  built ([^ ]+) ([^ ]+) .*/\1\/\2/p' "$1.out" | sort | paste -sd ' '
}
after_change() { # NAME
	case $1 in
	web-ui) echo web-ui/web/build web-ui/www ;;
	tool-go) echo tool-go/build/compile tool-go/probe ;;
	tool-cargo) echo tool-cargo/build/compile tool-cargo/tally ;;
	fastapi-uv) echo fastapi-uv/app ;;
	*) built "$1" ;;
	esac
}

echo token >token
for name in $GALLERY; do
	options=
	[ "$name" != inference-worker ] || options="--secret id=hub_token,src=token"
	check "$name is a recipe" "$SBUILD" plan "gallery/$name/recipe.yaml" $options
	check "$name has a line to change" gallery_change "$name" 1
	cp "$TOP/recipes/gallery/$name/$file" "gallery/$name/$file"
done

for name in ${WORKED:-fastapi-uv web-ui tool-go}; do
	build "$name" || {
		why=$(without_index "$name")
				if [ -n "$why" ]; then skip "$name: $why"; else check "$name is built" sh -c 'cat "$0" && false' "$name.out"; fi
		continue
	}
	check "$name: its user is not root" sh -c '"$0" inspect "$1" --config | jq -e ".config.User | test(\"^[1-9]\")"' "$SBUILD" "$name"
	gallery_change "$name" 1
	began=$(date +%s%N)
	check "$name is built after a change" build "$name"
	note "$name: a changed line takes $((($(date +%s%N) - began) / 1000000)) ms"
	check_equal "$name: only what the line is in" "$(after_change "$name")" "$(built "$name")"
	build "$name"
	check_equal "$name: and nothing after that" "" "$(built "$name")"
done
