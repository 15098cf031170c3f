# What is pruned is not built again for nothing: records of layers that images have stay.
. tests/faults/lib.sh
need_root
need jq
bb
printf 'name: app\nfrom: bb.yaml\nlayers: [{name: run, run: "echo $RANDOM >/out"}, {name: file, copy: {from: file, to: /}}]\n' >app.yaml
echo 1 >file
build app
touch -d '30 days ago' "$SBUILD_STORE"/sbuild/records/* "$SBUILD_STORE"/blobs/sha256/* "$SBUILD_STORE"/sbuild/stat/* "$SBUILD_STORE"/sbuild/last/*
build app
notes=$(ls "$SBUILD_STORE/sbuild/stat" "$SBUILD_STORE/sbuild/last")
"$SBUILD" prune --older-than 7d >/dev/null 2>&1
check_equal "notes that builds use stay, however long ago they were written" "$notes" "$(ls "$SBUILD_STORE/sbuild/stat" "$SBUILD_STORE/sbuild/last")"
touch -d '30 days ago' "$SBUILD_STORE"/sbuild/records/* "$SBUILD_STORE"/blobs/sha256/*
"$SBUILD" prune --older-than 7d --max-size 1k --keep-tagged >/dev/null 2>&1
check_equal "all is cached after a prune that keeps tagged images" "true true true" \
	"$("$SBUILD" build app.yaml --json | jq -r '[.layers[].cached] | join(" ")')"
for n in 2 3 4; do
	echo $n >file
	build app --tag v$n
done
"$SBUILD" prune --keep-images 2 >pruned
check_equal "the last two images of a name stay" "app:v3 app:v4" "$("$SBUILD" images --json | jq -r '.[] | select(.name == "app") | .tags[] | "app:" + .' | sort | xargs)"
check_equal "and all of the last is cached" "true true true" \
	"$("$SBUILD" build app.yaml --tag v4 --json | jq -r '[.layers[].cached] | join(" ")')"
