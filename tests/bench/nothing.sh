#!/bin/sh
# What a build costs that has little or nothing to do: the whole process, best of several. The floor
# is a process that does nothing at all.
. tests/bench/bench.lib

files() { # DIRECTORY COUNT
	awk -v dir="$1" -v count="$2" 'BEGIN { for (i = 0; i < count; i++)
		printf "%s/%d/file-%d.py\n", dir, i / 100, i }' >names
	sed 's|/[^/]*$||' names | sort -u | xargs mkdir -p
	while read -r name; do echo "print('$name')" >"$name"; done <names
}
recipe() { # NAME
	printf 'name: %s\nfrom: scratch\nlayers: [{name: app, copy: {from: %s, to: /app}}]\n' "$1" "$1" >"$1.yaml"
	printf 'FROM scratch\nCOPY %s /app\n' "$1" >"$1.docker"
	"$SBUILD" "$1.yaml" >/dev/null 2>&1
}
printf 'int main(void) { return 0; }\n' | ${CC:-cc} -x c -O2 -static -o floor - 2>/dev/null || cp /bin/true floor
measure -n 100 ./floor
floor=$best
show "a process that does nothing" "$floor"
files small 300
recipe small
files large 50000
recipe large
sleep 2 # what was written within the clock's grain is read again

measure -n 50 "$SBUILD" small.yaml
show "nothing changed, 300 files" "$best" "$floor"
promise "nothing changed, 300 files (ms)" "$best" 6
graph() { # NAME PLATFORMS: 40 stages that share the 300 files, each copied from
	mkdir -p "$1"
	awk -v dir="$1" 'BEGIN { for (i = 0; i < 300; i++) printf "%s/%d/file-%d.py\n", dir, i % 40, i }' >names
	sed 's|/[^/]*$||' names | sort -u | xargs mkdir -p
	while read -r name; do echo "print('$name')" >"$name"; done <names
	{
		printf 'name: %s\nplatforms: [%s]\nfrom: scratch\nstages:\n' "$1" "$2"
		for i in $(seq 0 39); do
			echo "  - {name: s$i, from: scratch, layers: [{name: files, copy: {from: $1/$i, to: /s}}]}"
		done
		printf 'layers:\n  - name: all\n    steps:\n'
		for i in $(seq 0 39); do echo "      - copy: {stage: s$i, from: /s, to: /t$i}"; done
	} >"$1.yaml"
	"$SBUILD" "$1.yaml" >/dev/null 2>&1
}
floor_small=$best
graph graph linux/amd64,linux/arm64,linux/riscv64
sleep 2
measure -n 50 "$SBUILD" graph.yaml
show "nothing changed, 40 stages, 3 platforms, 300 files" "$best" "$floor_small"
measure -n 20 -b "date +%N >>small/1/file-150.py" "$SBUILD" small.yaml
show "one file changed, of 300" "$best" "$floor"
promise "one file changed, of 300 (ms)" "$best" 20
measure -n 20 "$SBUILD" large.yaml
show "nothing changed, 50,000 files" "$best" "$floor"
promise "nothing changed, 50,000 files (ms)" "$best" 80
measure -n 10 find large -size -0
show "the same files, stat by find" "$best" "$floor"
floor_find=$best
measure -n 10 -b "date +%N >>large/1/file-150.py" "$SBUILD" large.yaml
show "one file changed, of 50,000" "$best" "$floor_find"

if have_peer buildah; then
	cat >peer.sh <<'END'
exec buildah --root "$PWD/containers" --runroot "$PWD/containers-run" --storage-driver overlay \
	bud --layers -q -t small -f small.docker .
END
	mkdir context && cp -a small small.docker peer.sh context
	prefix=${SB_PEERS:+$SB_PEERS $T/context}
	cd context
	$prefix sh peer.sh >/dev/null 2>&1 && {
		measure -n 5 $prefix sh peer.sh
		show "buildah, nothing changed, 300 files" "$best" "$floor"
		measure -n 5 -b "date +%N >>small/1/file-150.py" $prefix sh peer.sh
		show "buildah, one file changed, of 300" "$best" "$floor"
	}
	cd ..
fi
if have_docker; then
	printf 'tar -cf - small small.docker | %s build -q -t sb-bench -f small.docker - >/dev/null\n' "${SB_DOCKER:-docker}" >docker.sh
	sh docker.sh 2>/dev/null && {
		measure -n 5 sh docker.sh
		show "docker, nothing changed, 300 files" "$best" "$floor"
		measure -n 5 -b "date +%N >>small/1/file-150.py" sh docker.sh
		show "docker, one file changed, of 300" "$best" "$floor"
	}
	command ${SB_DOCKER:-docker} image rm -f sb-bench >/dev/null 2>&1 || :
fi
