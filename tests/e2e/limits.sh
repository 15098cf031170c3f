#!/bin/sh
# Recipes that are too large, in bounded memory and time; an image of as many layers as there may be.
. tests/e2e/lib.sh
need_root
need runc jq

# 400 MB of address space and 5 s of processor time are plenty; a program that takes more ends
# otherwise than with status 3.
bounded() {
	(ulimit -v 400000 && ulimit -t 5 && exec "$@")
}
head -c 100000000 /dev/zero | tr '\0' 'a' >long.yaml
check_fails "a recipe of 100 MB on one line" 3 bounded "$SBUILD" long.yaml
{ echo 'name: x'; yes '# a comment' | head -c 100000000; } >comments.yaml
check_fails "a recipe of 100 MB of comments" 3 bounded "$SBUILD" comments.yaml
rm long.yaml comments.yaml
{ printf 'name: x\nfrom: scratch\nlayers:\n' && seq -f '  - {name: l%.0f, run: x}' 10000; } >layers.yaml
check_fails "10,000 layers" 3 bounded "$SBUILD" layers.yaml
{
	printf 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n'
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		p="*a$((i - 1))" && echo "a$i: &a$i [$p, $p, $p, $p, $p, $p, $p, $p, $p, $p]"
	done
	echo 'name: *a12'
} >bomb.yaml
check_fails "an alias bomb" 3 bounded "$SBUILD" bomb.yaml
{ printf 'name: '; head -c 900000 /dev/zero | tr '\0' '['; } >deep.yaml
check_fails "900,000 levels" 3 bounded "$SBUILD" deep.yaml
for i in 1 2 3; do printf 'name: c%s\nfrom: c%s.yaml\n' $i $((i % 3 + 1)) >"c$i.yaml"; done
check_fails "a cycle of three recipes" 3 bounded "$SBUILD" c1.yaml
{ printf 'name: x\nfrom: scratch\nlayers:\n' && seq -f '  - {nme: l%.0f, rnu: x}' 120; } >errors.yaml
check_fails "many errors" 3 bounded "$SBUILD" errors.yaml
mkfifo pipe.yaml
check_fails "a FIFO" 3 timeout 5 "$SBUILD" pipe.yaml
check_fails "a device" 3 bounded "$SBUILD" /dev/zero
check_fails "a directory" 3 bounded "$SBUILD" "$T/"

# 127 layers, the last of which runs in a root of the 126 below.
busybox_root rootfs
mkdir src
{
	printf 'name: tall\nfrom: scratch\nlayers:\n  - {name: busybox, copy: {from: rootfs, to: /}}\n'
	for i in $(seq 125); do
		echo $i >src/$i
		echo "  - {name: l$i, copy: {from: src/$i, to: /n/}}"
	done
	echo '  - {name: last, run: "[ $(ls /n | wc -l) = 125 ]; cat /n/* | sort -n | tail -n 1 >/most"}'
} >tall.yaml
check "an image of 127 layers" "$SBUILD" tall.yaml
"$SBUILD" export tall:latest --format rootfs -o tall.tar 2>/dev/null
check_equal "its last layer saw them all" 125 "$(tar -xOf tall.tar most)"
{ cat tall.yaml && echo '  - {name: toomuch, run: x}'; } >taller.yaml
check_fails "an image of 128" 3 "$SBUILD" taller.yaml

# Many files.
mkdir -p many
(cd many && seq 20000 | xargs touch)
printf 'name: many\nfrom: scratch\nlayers: [{name: many, copy: {from: many, to: /m/}}]\n' >many.yaml
check "20,000 files in little memory" sh -c "ulimit -v 400000 && exec '$SBUILD' many.yaml -j2"
check_store "after all of this"
