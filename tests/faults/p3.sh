# A file copied to the name of a link replaces the link, not what it leads to: in a layer of its own,
# beside a step, on an image of a registry, and when it is downloaded.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need python3
start_registry main
bb
check "the base is pushed" "$SBUILD" push bb:latest "$REGISTRY/bb:latest"
printf '#!/bin/sh\necho mine\n' >ls.sh
mkdir www && cp ls.sh www
(cd www && exec python3 -u -m http.server --bind 127.0.0.1 0) >www.out 2>&1 &
server=$!
cleanup() { kill $server; }
wait_for_line port www.out
port=$(sed -nE 's/.* port ([0-9]+).*/\1/p' www.out)
sum=$(sha256sum <ls.sh | cut -c1-64)
recipe() { printf 'name: %s\nfrom: %s\nlayers: [{name: ls, %s}]\n' "$1" "$2" "$3" >"$1.yaml"; }
recipe pure bb.yaml 'copy: {from: ls.sh, to: /bin/ls, mode: "0755"}'
recipe mixed bb.yaml 'steps: [{run: "true"}, {copy: {from: ls.sh, to: /bin/ls, mode: "0755"}}]'
recipe remote "{image: \"$REGISTRY/bb:latest\"}" 'copy: {from: ls.sh, to: /bin/ls, mode: "0755"}'
recipe fetched bb.yaml "download: {url: \"http://127.0.0.1:$port/ls.sh\", sha256: $sum, to: /bin/ls, mode: \"0755\"}"
recipe beside bb.yaml "steps: [{run: \"true\"}, {download: {url: \"http://127.0.0.1:$port/ls.sh\", sha256: $sum, to: /bin/ls, mode: \"0755\"}}]"
for name in pure mixed remote fetched beside; do
	check "$name: it is built" build $name
	tree $name:latest $name
	check "$name: the link is the file" cmp ls.sh $name/bin/ls
	check "$name: no link any more" test ! -L $name/bin/ls
	check "$name: what it led to is whole" cmp rootfs-bb/bin/busybox $name/bin/busybox
done
