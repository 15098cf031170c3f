#!/bin/sh
# Foreign bytes that would take more memory, time, depth or say over the terminal than they should.
. tests/e2e/lib.sh
need_root
need runc jq python3 perl
busybox_base
bring perl rootfs

# ---- depth: a step makes directories in one another by changing into them ----

cat >deep.yaml <<'END'
name: deep
from: base.yaml
layers:
  - name: deep
    cache: [/var/cache/deep]
    run: |
      mkdir -p /srv
      for place in /srv /var/cache/deep; do
        perl -e 'chdir shift; for (1 .. 4000) { mkdir "a"; chdir "a" or die }' $place
      done
END
few() { # COMMAND… with few descriptors
	(ulimit -Sn 256 && ulimit -Hn 1024 && exec "$@")
}
check_fails "4,000 directories in one another are no layer" 1 few "$SBUILD" deep.yaml
check_said 'a path of more than 4096 bytes'
deep=$(find "$SBUILD_STORE/sbuild/tmp" -mindepth 1 2>/dev/null | wc -l)
check_equal "nothing of them is left" 0 "$deep"
check "what is in a cache directory is measured" few "$SBUILD" prune --dry-run
check "and removed" few "$SBUILD" prune --max-size 0
check_equal "the cache directory is gone" 0 "$(find "$SBUILD_STORE/sbuild/caches" -name a | wc -l)"
mkdir -p "$SBUILD_STORE/sbuild/tmp/1234.0123456789abcdef"
(cd "$SBUILD_STORE/sbuild/tmp/1234.0123456789abcdef" &&
	python3 -c 'import os
for i in range(4000): os.mkdir("a"); os.chdir("a")')
check "what a dead process left is swept" few "$SBUILD" images
check_equal "all of it" "" "$(ls "$SBUILD_STORE/sbuild/tmp")"

# ---- memory and work: what a layer may take, whoever reads it ----

printf 'name: small\nfrom: scratch\nlayers: [{name: one, copy: {from: small, to: /}}]\n' >small.yaml
mkdir small && echo hi >small/file
"$SBUILD" small.yaml >/dev/null 2>&1
hostile() { # KIND: the image KIND:v1, from a layout of that name
	python3 "$TOP/tests/e2e/hostile-layers.py" "$1" "$1"
	"$SBUILD" tag "oci:$1:v1" "$1:v1" 2>/dev/null
}
# The most memory that a command had, in megabytes, into the file most; its status.
peak() { # COMMAND…
	python3 -c 'import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1000, file=open("most", "w"))
sys.exit(status)' "$@"
}
bounded() { # NAME STATUS WORDS COMMAND…
	bounded_name=$1 bounded_status=$2 words=$3
	shift 3
	check_fails "$bounded_name" "$bounded_status" peak "$@"
	check_said "$words"
	check "$bounded_name: at most 512 MB" test "$(cat most)" -le 512
}
budget='take more than 268435456 bytes'
for kind in xattrs directories sparse; do
	words=$budget
	[ $kind != sparse ] || words='headers of one entry have more than 16777216 bytes'
	hostile $kind
	bounded "$kind: ls" 6 "$words" "$SBUILD" ls -R $kind:v1
	bounded "$kind: diff" 6 "$words" "$SBUILD" diff small $kind:v1
	bounded "$kind: export" 6 "$words" "$SBUILD" export $kind:v1 --format rootfs -o out.tar
	[ $kind != directories ] || continue # unpacking them takes the disk a minute
	printf 'name: u\nfrom: "oci:%s:v1"\nlayers: [{name: r, run: x}]\n' $kind >u.yaml
	bounded "$kind: unpacking" 6 "$words" "$SBUILD" u.yaml
done
check_equal "what was unpacked of them is gone" "" "$(ls "$SBUILD_STORE/sbuild/tmp")"
hostile files
hostile others
check "two images of half a million files each" peak "$SBUILD" diff files:v1 others:v1
check "take no more memory than a quarter of the limit" test "$(cat most)" -le 160
hostile links
printf 'name: c\nfrom: "oci:links:v1"\nlayers: [{name: r, copy: {from: small, to: /target/}}]\n' >c.yaml
check_fails "a destination behind deep links" 1 timeout 60 "$SBUILD" c.yaml
check_said 'too deep behind symbolic links'
check_fails "as a path to list" 1 timeout 60 "$SBUILD" ls links:v1 /target
hostile fan
printf 'name: f\nfrom: "oci:fan:v1"\nlayers: [{name: r, copy: {from: small, to: /srv/}}]\n' >f.yaml
check_fails "interrupted while links of a base are followed" 124 timeout -s INT 0.3 "$SBUILD" f.yaml
check_fails "no image is made of what was not looked at" 1 "$SBUILD" inspect f
check "a base of many deep links" timeout 60 "$SBUILD" f.yaml
hostile hole
interrupted() { # NAME COMMAND…    ends soon after SIGTERM; its status is that of the signal
	interrupted_name=$1
	shift
	"$@" >/dev/null 2>said &
	pid=$!
	sleep 1
	kill "$pid" 2>/dev/null || :
	start=$(date +%s)
	code=0
	wait "$pid" || code=$?
	check_equal "$interrupted_name: the signal is what ended it" 143 $code
	check "$interrupted_name: at once" test $(($(date +%s) - start)) -le 10
}
interrupted "a hole of 900 GB" "$SBUILD" export hole:v1 --format rootfs -o /dev/null
interrupted "a long listing" "$SBUILD" ls -R files:v1 --json
interrupted "a long comparison" "$SBUILD" diff files:v1 others:v1 --json
truncate -s 40G small/hole
interrupted "a hole in the context" "$SBUILD" small.yaml
rm small/hole

# ---- files of the store that are larger than any that sbuild writes ----

for place in contents stat; do
	find "$SBUILD_STORE/sbuild/$place" -type f -exec truncate -s 3G {} +
done
for command in 'small.yaml' 'ls small'; do
	# shellcheck disable=SC2086
	check "$command: gigabytes in the store are passed over" peak "$SBUILD" $command
	check "$command: at most 512 MB" test "$(cat most)" -le 512
done

python3 - "$SBUILD_STORE/index.json" >full.json <<'END'
import json, sys
index = json.load(open(sys.argv[1]))
first = index["manifests"][0]
index["manifests"] = [{**first, "digest": "sha256:%064x" % i, "annotations": {
    "org.opencontainers.image.ref.name": "t%d:v1" % i}} for i in range(45000)]
json.dump(index, sys.stdout)
END
"$SBUILD" small.yaml --store other >/dev/null 2>&1
cp full.json other/index.json
check "tens of thousands of images that are not there are listed" peak "$SBUILD" images --store other
check "at most 512 MB" test "$(cat most)" -le 512

# ---- values of JSON that are not what they should be ----

"$SBUILD" tag small:latest m:v1 2>/dev/null
"$SBUILD" export m:v1 --format oci-archive -o m.tar 2>/dev/null
for kind in layout archive; do
	rm -rf m && mkdir m && tar -C m -xf m.tar
	"$SBUILD" images --store m >/dev/null 2>&1 || :
	SBUILD_STORE=$T/m python3 "$TOP/tests/e2e/mutants.py" "$SBUILD" "$T/m" $kind >mutants
	check_equal "no $kind ends a command by a signal, or reaches the terminal" "" "$(sed '$d' mutants | cut -c 1-300)"
	note "$kind: $(tail -n 1 mutants)"
done

# ---- the terminal ----

evil=$(printf 'e\033]0;t\007\302\233' && printf '31m\342\200\256x')
mkdir "small/$evil"
cat >say.yaml <<END
name: say
from: base.yaml
layers:
  - {name: small, copy: {from: small, to: /small}}
  - name: say
    run: |
      printf '\\033]0;title\\007\\033[31mred\\033[0m \\302\\2331mcsi \\342\\200\\256over\\n'
      printf 'sbuild: error: mine\\n'
      exit 1
END
steers() { # FILE: whether bytes that steer a terminal are in it
	LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]' "$1"
}
for progress in plain json; do
	check_fails "a step that fails" 4 "$SBUILD" say.yaml --progress $progress
	check_equal "nothing in $progress progress steers the terminal" no "$(steers said && echo yes || echo no)"
done
check_fails "a step that fails" 4 "$SBUILD" say.yaml
check_equal "its words don't pass for sbuild's" 1 "$(grep -c '^sbuild: error:' said)"
printf 'name: say\nfrom: scratch\nlayers: [{name: small, copy: {from: small, to: /small}}]\n' >say.yaml
"$SBUILD" say.yaml 2>/dev/null
for command in 'ls -R say' 'ls -R say --json' 'diff small say' 'diff small say --json'; do
	# shellcheck disable=SC2086
	"$SBUILD" $command >said 2>&1
	check_equal "$command: nothing steers the terminal" no "$(steers said && echo yes || echo no)"
done
check "JSON keeps the name" sh -c '"$1" ls -R say --json | python3 -c "import json, sys; json.load(sys.stdin)"' - "$SBUILD"
check_fails "an argument in an error" 1 "$SBUILD" ls "$evil"
check_equal "is escaped" no "$(steers said && echo yes || echo no)"
check_store "after all of this"
