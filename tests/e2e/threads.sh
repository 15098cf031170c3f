#!/bin/sh
# What has threads at once: recipes that become ready at the same moment, layers that are packed while others
# run, copies and downloads while what is done is sent. `make tsan` runs it where races are seen; the events
# that it tells must fit together anywhere.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need runc jq docker-registry
start_registry main
busybox_base
printf 'name: middle\nfrom: base.yaml\nlayers: [{name: middle, run: "head -c 9000000 /dev/urandom >/middle"}]\n' >middle.yaml
names=
for i in 1 2 3 4 5 6; do
	cat >"app-$i.yaml" <<-END
		name: app-$i
		from: middle.yaml
		image: {repository: $REGISTRY/team/app-$i}
		layers:
		  - {name: first-$i, run: "head -c 5000000 /dev/urandom >/first"}
		  - {name: second-$i, run: "echo $i >/second"}
		  - {name: third-$i, copy: {from: rootfs/etc, to: /etc-$i}}
	END
	names="$names app-$i.yaml"
done
for round in 1 2 3; do
	status=0
	"$SBUILD" build $names --push --jobs 6 --progress json --store "$T/store-$round" --cache-to "$REGISTRY/team/cache-$round" \
		2>events >out || status=$?
	check_equal "round $round: six at once" 0 "$status"
	[ "$status" = 0 ] || tail -n 40 events
	# An id is one layer's in all its events; all together, as the middle and the base have theirs.
	jq -r 'select(.id != null and .layer != null) | "\(.id) \(.recipe)/\(.layer)"' events | sort -u >ids
	check_equal "round $round: an id is that of one layer" "" "$(cut -d ' ' -f 1 ids | sort | uniq -d | paste -sd ' ')"
	check_equal "round $round: and a layer has one" 20 "$(cut -d ' ' -f 2 ids | sort | uniq -c | grep -c ' 1 ')"
	"$SBUILD" build $names --push --progress plain --store "$T/store-$round" >again 2>&1 || cat again
	check_equal "round $round: nothing is built again" 0 "$(grep -c '^ *built' again || :)"
done
