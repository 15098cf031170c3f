# What plan says of layers above one that has to be built, and which file it names.
. tests/e2e/lib.sh
need_root
need jq
busybox_base
mkdir -p src conf
echo 1 >src/a
echo 1 >src/b
echo 1 >conf/c
cat >app.yaml <<'EOF'
name: app
from: base.yaml
args: {N: "1"}
layers:
  - {name: first, run: 'echo "$N" >/first'}
  - {name: src, copy: {from: src, to: /src}}
  - {name: second, run: 'cat /first >/second'}
  - name: both
    steps:
      - copy: {from: src, to: /app/src}
      - copy: {from: conf, to: /app/conf}
      - run: 'true'
  - {name: conf, copy: [{from: conf, to: /conf}]}
EOF
sed -i 's/copy: \[\({[^]]*}\)\]/copy: \1/' app.yaml
planned() { "$SBUILD" plan app.yaml --json "$@" | jq -r '.layers[] | select(.recipe == "app") | "\(.name) \(.state) \(.cause // "")"'; }
check_equal "of a store that is empty" "first unknown depends on what recipe base turns out to be
src unknown depends on what recipe base turns out to be
second unknown depends on what recipe base turns out to be
both unknown depends on what recipe base turns out to be
conf unknown depends on what recipe base turns out to be" "$(planned)"
check "it is built" "$SBUILD" build app.yaml
check_equal "copies over what has to be built are cached" "first build argument N changed
src cached 
second unknown depends on what first turns out to be
both unknown depends on what first turns out to be
conf cached " "$(planned --set N=2)"
echo 2 >conf/c
check_equal "or are not, and why" "first build argument N changed
src cached 
second unknown depends on what first turns out to be
both unknown depends on what first turns out to be
conf build conf/c changed" "$(planned --set N=2)"
check_equal "a file of one of several copies is named" "first cached 
src cached 
second cached 
both build conf/c changed
conf build conf/c changed" "$(planned)"
echo 2 >src/b
rm src/a
check_equal "the first of them that changed something" "first cached 
src build /src/a removed and 1 more
second unknown depends on what src turns out to be
both unknown depends on what src turns out to be
conf build conf/c changed" "$(planned)"
check "the build does what was planned" sh -c "'$SBUILD' build app.yaml --explain >log 2>&1 || { cat log; false; }"
check "and says the same of the layer with several copies" has log 'both.*[(]src/a removed and 1 more'
rm "$SBUILD_STORE"/sbuild/last/*
check_equal "what the store has is found, also where it isn't known what was below" "src cached " \
	"$(planned --set N=3 | grep ^src)"
rm -r conf
check_fails "a source that is missing is told before anything is built" 1 "$SBUILD" plan app.yaml --set N=3
check_said 'conf'

# ---- what can be known before the first step, by plan as by build ----
mkdir tools && for program in sh mount; do ln -s "$(command -v $program)" tools/; done
cat >needs.yaml <<'EOR'
name: needs
from: {debian: bookworm}
image: {repository: "127.0.0.1:1/team/needs"}
layers:
  - {name: source, git: {url: "http://127.0.0.1:1/a.git", commit: 4e8f0a7d2c1b9e6f5a3d8c7b6a5f4e3d2c1b0a99, lfs: true, to: /src}}
  - {name: run, run: "true"}
EOR
printf 'name: small\nfrom: base.yaml\nimage: {repository: "127.0.0.1:1/team/small"}\nlayers: [{name: step, run: echo it runs}]\n' >small.yaml
"$SBUILD" base.yaml >/dev/null 2>&1
mkdir full
for command in plan build; do
	check_fails "$command: programs that this machine lacks" 1 env PATH="$T/tools" "$SBUILD" $command needs.yaml
	check_said '^    needs.yaml:2:7: the program mmdebstrap is not installed'
	check_said '^    layer source: needs.yaml:5:.*: there is no git on this machine'
	check_fails "$command: a runtime that is not there" 1 "$SBUILD" $command small.yaml --runtime nosuch
	check "before any step" sh -c '! grep -q "it runs" said'
	check_fails "$command: a registry that takes nothing" 5 "$SBUILD" $command small.yaml --push
	check_said "pushing small: registry 127.0.0.1:1"
	check "before any step" sh -c '! grep -q "it runs" said'
	# shellcheck disable=SC2016 # $1 and $2 are the shell's
	check_fails "$command: a disk that is full" 1 unshare --mount --propagation private sh -c 'mount -t tmpfs -o size=4m none full &&
		"$SBUILD" plan small.yaml --store full/store >/dev/null 2>&1 && ! head -c 4m /dev/zero >full/more 2>/dev/null && "$SBUILD" "$1" small.yaml --store full/store' sh $command
	check_said 'the store .*full/store: it needs 1.05 MB of disk'
done
