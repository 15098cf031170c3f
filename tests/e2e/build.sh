#!/bin/sh
# Building through the real runtime: what a run step sees, what a failing one shows, what is cached.
. tests/e2e/lib.sh
need_root
need runc crun jq python3
busybox_base
mkdir src
echo one >src/file


lacks() {
	! grep -En -- "$2" "$1"
}
built() { # prints the names of the layers that the build of $1 with metadata in meta built
	jq -r '[.layers[] | select(.cached | not) | .name] | join(" ")' meta
}
# A recipe of run steps given on stdin, over base.yaml
recipe() { # NAME
	{ printf 'name: %s\nfrom: base.yaml\n' "$1" && cat; } >"$1.yaml"
}
build() { # NAME [OPTION…]: the digest on stdout, the rest in err
	"$SBUILD" "$@" --progress plain --metadata-file meta 2>err
}

# ---- what a step sees ----

recipe inside <<'EOF'
args: {GREETING: "a b $HOME", EMPTY: ""}
layers:
  - name: look
    run: |
      mkdir /seen
      env | sort >/seen/env
      printf '%s' "$GREETING" >/seen/greeting
      umask >/seen/umask
      hostname >/seen/hostname
      cat /proc/self/status >/seen/status
      cat /proc/net/dev >/seen/net
      ls /dev >/seen/dev
      readlink /proc/1/exe >/seen/init
      ulimit -c >/seen/core
      pwd >/seen/pwd
      id >/seen/id
      set +e
      { head -c1 /proc/kcore; ls /sys/firmware; cat /proc/keys /proc/timer_list /proc/interrupts; } 2>/dev/null | wc -c >/seen/masked
      echo x 2>/dev/null >/proc/sys/kernel/hostname; echo $? >/seen/proc-sys
      unshare -U true 2>/dev/null; echo $? >/seen/unshare-user
      unshare -m true 2>/dev/null; echo $? >/seen/unshare-mount
      mount -t tmpfs none /tmp 2>/dev/null; echo $? >/seen/mount
      mknod /seen/null c 1 3 2>/dev/null; echo $? >/seen/mknod
      chroot / true; echo $? >/seen/chroot
      ping -c 1 -W 2 127.0.0.1 >/dev/null; echo $? >/seen/loopback
      wget -T 2 -O - http://HOST:PORT/ >/seen/outside 2>/dev/null
      wget -T 2 -O - http://127.0.0.1:PORT/ >>/seen/outside 2>/dev/null
      cat /etc/resolv.conf >/seen/resolv 2>&1
      ls -a / >/seen/root
EOF
host=$(hostname -I | awk '{ print $1 }') port=$(free_port)
sed -i "s/HOST/${host:-192.0.2.1}/; s/PORT/$port/" inside.yaml
mkdir www
echo reached >www/index.html
busybox httpd -f -p "$port" -h www &
server=$!
digest=$(umask 077 && SECRET_ENV=leaked LD_PRELOAD='' build inside.yaml) || cat err
check "a recipe of one run step is built" test -n "$digest"
check "the image is exported" "$SBUILD" export inside:latest --format rootfs -o inside.tar
mkdir out && tar -C out -xf inside.tar
cat >wanted-env <<'EOF'
EMPTY=
GREETING=a b $HOME
HOME=/root
LANG=C.UTF-8
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PWD=/
SHLVL=1
SOURCE_DATE_EPOCH=1577836800
TZ=UTC
EOF
check "the environment is the args and nothing of the host's" diff wanted-env out/seen/env
check_equal "an argument is not substituted textually" 'a b $HOME' "$(cat out/seen/greeting)"
check_equal "umask" 0022 "$(cat out/seen/umask)"
check_equal "host name" sbuild "$(cat out/seen/hostname)"
check_equal "working directory" / "$(cat out/seen/pwd)"
check_equal "user" "uid=0(root) gid=0(root)" "$(cut -d' ' -f1,2 out/seen/id)"
check_equal "no core files" 0 "$(cat out/seen/core)"
check "seccomp filters" has out/seen/status '^Seccomp:	2$'
check "default capabilities" has out/seen/status '^CapEff:	00000000a00425fb$'
check "no capability beyond them" has out/seen/status '^CapBnd:	00000000a00425fb$'
check_equal "masked paths say nothing" 0 "$(cat out/seen/masked)"
check_equal "standard devices only" "core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero" \
	"$(grep -v -e mqueue -e console -e sbuild-script out/seen/dev | tr '\n' ' ' | sed 's/ $//')"
for what in proc-sys unshare-user unshare-mount mount mknod; do
	check "refused: $what" test "$(cat out/seen/$what)" != 0
done
check_equal "chroot works" 0 "$(cat out/seen/chroot)"
check_equal "loopback works without a network" 0 "$(cat out/seen/loopback)"
check_equal "a server of this machine is out of reach" "" "$(cat out/seen/outside)"
check_equal "only loopback is there without a network" "lo" \
	"$(sed -nE 's/^ *([^ :|]+):.*/\1/p' out/seen/net)"
check_equal "mount points leave no trace" "bin etc root seen tmp" \
	"$("$SBUILD" ls inside:latest --json | jq -r '.. | .path? // empty' | sed -n 's|^/*\([^/]*\)/*$|\1|p' | sort -u | tr '\n' ' ' | sed 's/ $//;s/^ *//')"
check_equal "nothing of /etc is written by mounting" "group passwd" \
	"$(ls out/etc | tr '\n' ' ' | sed 's/ $//')"

recipe network <<'EOF'
layers:
  - {name: host, network: host, run: "cat /proc/net/dev >/net; wget -O /got http://127.0.0.1:PORT/"}
EOF
sed -i "s/PORT/$port/" network.yaml
check "a step with the host's network" build network.yaml
"$SBUILD" export network:latest --format rootfs -o network.tar 2>/dev/null
check_equal "it has the host's interfaces" "$(sed -nE 's/^ *([^ :|]+):.*/\1/p' /proc/net/dev)" \
	"$(tar -xOf network.tar net 2>/dev/null | sed -nE 's/^ *([^ :|]+):.*/\1/p')"
check_equal "and reaches its server" reached "$(tar -xOf network.tar got)"
kill "$server"
check "and no resolv.conf is left in the image" sh -c "! tar -tf network.tar | grep -q 'etc/resolv.conf'"

recipe users <<'EOF'
layers:
  - {name: own, run: "mkdir /work; chown worker:worker /work"}
  - name: name
    run: {script: "id >/work/name; echo $HOME >>/work/name", user: worker, workdir: /work}
  - {name: number, run: {script: "id -u >number; id -g >>number", user: "1234:77", workdir: /work}}
  - {name: shell, run: {script: 'echo "$0"', shell: [sh, -c, 'echo made by "$0" >/shell']}}
EOF
check "steps of other users and shells" build users.yaml
"$SBUILD" export users:latest --format rootfs -o users.tar 2>/dev/null
check_equal "a user by name, with groups" "uid=1234(worker) gid=1234(worker) groups=77(extra)|/home|" \
	"$(tar -xOf users.tar work/name | tr '\n' '|')"
check_equal "a user by number" "1234 77 " "$(tar -xOf users.tar work/number | tr '\n' ' ')"
check "a shell of one's own" sh -c "tar -xOf users.tar shell | grep -q '^made by'"

# ---- what a step sees beside that: of build:, of itself, of the platform ----

arch=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/; s/armv7l/arm/')
recipe variables <<'EOF'
args: {HASH: h1, PORT: "80"}
build:
  shell: [sh, -euf]
  env: {BUILD: "b:$PORT:$FROM_IMAGE", OF_HASH: "$HASH", PORT: lost, BOTH: build}
layers:
  - {name: all, run: 'echo * $BUILD $OF_HASH $PORT $BOTH >/all; env | grep PLAT >>/all || true', env: {BOTH: "step:$BOTH", PATH: "/bin:$PATH"}}
  - {name: none, args: [], run: 'echo "${OF_HASH-none} ${PORT-none} $FROM_IMAGE $ARCH" >/none', env: {FROM_IMAGE: "$FROM_IMAGE of ${PLATFORM}"}}
  - name: several
    env: {A: layer, B: "$A", N: "${PORT}"}
    args: []
    steps:
      - {run: 'echo $A $B $N >/several', env: {A: "step:$A"}}
      - run: {script: 'echo * >>/several', shell: [sh, -eu], workdir: /bin}
  - {name: named, run: 'echo $PLATFORM ${PLATFORM_ARCH} >/named'}
  - {name: asked, run: 'env | grep PLATFORM_ARCH >/asked', args: PLATFORM_ARCH}
image: {env: {FROM_IMAGE: image, OF_IMAGE: "$HASH", ARCH: "${PLATFORM_ARCH}"}}
EOF
build variables.yaml >/dev/null || cat err
mkdir seen && "$SBUILD" export variables --format rootfs -o - | tar -x -C seen all none several named asked
check_equal "build: env and shell, and a step's own" "* b:80:image h1 80 step:build" "$(cat seen/all)"
check_equal "what is made of an argument is not seen without it" "none lost image of linux/$arch $arch" \
	"$(sed 's,/v7,,' seen/none)"
check_equal "a layer's, and then the step's own" "step:layer layer 80" "$(head -n 1 seen/several)"
check "a step's own shell" sh -c 'sed 1d seen/several | grep -q busybox'
check_equal "the platform where a script names it" "linux/$arch $arch" "$(sed 's,/v7,,' seen/named)"
check_equal "or where args does" "PLATFORM_ARCH=$arch" "$(cat seen/asked)"
check_equal "the image has none of that" "[\"FROM_IMAGE=image\",\"OF_IMAGE=h1\",\"ARCH=$arch\"]" \
	"$("$SBUILD" inspect variables --config | jq -c .config.Env)"
planned() { # LAYER SED [OPTION…]: why that layer alone is built, after it was
	layer=$1 what=$2
	shift 2
	sed -n "1,/^layers/p; /name: $layer\b/,/^  - /{/name: $layer\b/p; /^    /p}; /^image/p" variables.yaml >"$layer.yaml"
	build "$layer.yaml" >/dev/null || cat err
	sed -i "$what" "$layer.yaml"
	"$SBUILD" plan "$layer.yaml" --json "$@" | jq -r '.layers[-1] | .cause // .state'
}
check_equal "of build: env" "environment variable BUILD changed" "$(planned all 's/"b:/"c:/')"
check_equal "of build: shell" "run: -eu added" "$(planned all 's/-euf/-eu/')"
check_equal "of a step's own variable" "environment variable FROM_IMAGE changed" "$(planned none 's/ of \$/ off $/')"
check_equal "of the argument that it is made of" "argument PORT changed" \
	"$(planned several 's/"b:.PORT/"b/' --set PORT=81)"
check_equal "of an argument that steps do not see" cached "$(planned none '' --set HASH=h2)"

# ---- failing steps ----

recipe fails <<'EOF'
layers:
  - name: fails
    run: |
      i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo "line $i"; done; printf 'partial'
      exit 7
      echo not reached
service: {port: 8000, health: {http: /}}
EOF
check_fails "a failing step has status 4" 4 "$SBUILD" fails.yaml
"$SBUILD" --progress json fails.yaml >out.txt 2>err.json || :
grep -v '^{' err.json >err || :
check "it names file, line and kind" has err 'fails\.yaml:[0-9]+: run'
check "it names command and status" has err 'ended with status 7'
check "its last 40 lines are shown" has err '^    line 12$'
check "not 41" lacks err '^ *line (1|11)$'
check "an unfinished line counts" has err '^    partial$'
check "the line that failed is" has err '^sbuild: error: .*fails\.yaml:7: run: `exit 7` ended'
log=$(sed -n 's/^ *the whole log: //p' err)
check "the log's path is shown" test -f "$log"
check_equal "the log is whole" 51 "$(grep -cE '^line [0-9]+$|^partial$' "$log")"
check_equal "nothing on stdout" "" "$(cat out.txt)"
check "the output is passed on as JSON" sh -c "grep -h '^{' err.json | jq -es 'map(select(.event == \"output\") | .text) | add | contains(\"line 1\")' >/dev/null"
check "for programs, the error has its end, too" sh -c "grep -h '^{' err.json | jq -es 'map(select(.event == \"error\") | .message) | add | contains(\"\nline 50\npartial\n\")' >/dev/null"

# A log has it above: it is not said again.
said_once() { # NAME WHAT-IS-IN-FRONT
	check_equal "$1: each line once" "1 1 1" "$(for line in 'line 1' 'line 50' partial; do grep -c "[ |]$line\$" said || :; done | paste -sd ' ')"
	check_equal "$1: at last what failed, where the whole log is, and how to get there" \
		"$2"'layer fails: fails.yaml:7: run: `exit 7` ended with status 7,    the whole log: /,    a shell where it failed: sbuild run --failed,' \
		"$(grep -A 9 '^sbuild: error' said | sed 's|^sbuild: error: ||; s|\(log: /\).*|\1|' | tr '\n' ,)"
}
check_fails "in a log" 4 "$SBUILD" fails.yaml --progress plain --metadata-file facts.json
said_once "in a log" ""
check_equal "what it said last stands before" "fails fails | partial" "$(grep -B 1 '^sbuild: error' said | head -1)"
check "metadata have its end: nobody else tells it there" sh -c 'jq -r .error.message facts.json | grep -q "^line 50"'
check_fails "a bundle" 4 "$SBUILD" bundle fails.yaml --progress plain --metadata-file facts.json
said_once "a bundle" ""
check "its metadata have its end" sh -c 'jq -r .error.message facts.json | grep -q "^line 50"'
check_fails "into a pipe" 4 sh -c '"$SBUILD" fails.yaml 2>&1 | cat >piped; "$SBUILD" fails.yaml 2>/dev/null'
cp piped said
said_once "into a pipe" ""
printf 'name: slow\nfrom: base.yaml\nlayers: [{name: slow, run: "echo well; sleep 1; echo begun"}]\n' >slow.yaml
printf 'name: above\nfrom: fails.yaml\nlayers: [{name: above, run: "true"}]\n' >above.yaml
check_fails "one of two, which the other stands on" 4 "$SBUILD" above.yaml slow.yaml --progress plain
said_once "one of two, which the other stands on" ""
check_fails "on a terminal" 4 sh -c 'TERM=xterm script -qec "$SBUILD fails.yaml" typescript >/dev/null'
tr -d '\r' <typescript | sed 's/.*\x1b\[[0-9;]*[AK]//' >said
check_equal "where it is not above: its end is said once" "0 1 1" \
	"$(for line in 'line 11' 'line 12' 'line 50'; do grep -c "^    $line\$" said || :; done | paste -sd ' ')"

recipe long <<'EOF'
layers:
  - name: long
    run: |
      head -c 9000 /dev/zero | tr '\0' '\200'
      head -c 30000 /dev/zero | tr '\0' x
      printf 'a\0b\n'
      exit 3
EOF
check_fails "one with a long line, and bytes of no text" 4 "$SBUILD" long.yaml --progress plain
check_equal "all of it is said" "9000 30000" "$(sed -n 's/^long long | //p' said | tr -d '\n' | sed 's/a.*//' |
	sed 's/\\x80/y/g; s/\xef\xbf\xbd/y/g' | LC_ALL=C awk '{ y = gsub("y", ""); print y, gsub("x", "") }')"
check_said '^    the whole log: /'
check_fails "in a terminal" 4 "$SBUILD" long.yaml --progress tty
check "its end is said, and the log's path" sh -c "grep -q '^    .*xxxa' said && grep -q '^    the whole log: /' said"
recipe talks <<'EOF'
layers:
  - name: talks
    run: printf '10%%\r20%%\r\ndos\r\n\nlast'
EOF
build talks.yaml >/dev/null || cat err
printf 'name: says\nfrom: base.yaml\nlayers: [{name: says, steps: [{run: "printf last"}, {prune: [pyc]}]}]\n' >says.yaml
"$SBUILD" says.yaml --progress plain >/dev/null 2>says || cat says
check_equal "what sbuild says is on a line of its own" "says says | last,says says | prune: 0 files removed, 0 B," "$(grep '|' says | tr '\n' ,)"
check_equal "plain progress: lines may end as they like" "20%,dos,,last," \
	"$(sed -n 's/^talks talks | //p' err | tr '\n' ,)"
"$SBUILD" talks.yaml --no-cache --progress json >/dev/null 2>err
check_equal "JSON has the text as it is" '"10%\r20%\r\ndos\r\n\nlast"' \
	"$(grep '^{' err | jq -sc 'map(select(.event == "output").text) | add')"
cat >long.yaml <<'EOF'
name: a-name-of-some-length
from: base.yaml
layers: [{name: and-a-layer-s, run: "echo much more than there is room for in a line; sleep 1"}]
EOF
on_terminal() { # WIDTH: what is drawn there, a line for each line
	script -qec "stty rows 24 cols $1; ${2:-} $SBUILD long.yaml --no-cache --progress tty" /dev/null |
		tr -d '\r' | sed 's/\x1b\[[0-9;]*[AK]//g'
}
on_terminal 30 >narrow
sed 's/\x1b\[[0-9;]*m//g' narrow | grep '●' | tr -d ' ' >running
check "a terminal shows what runs" test -s running
check_equal "in lines no wider than it is" "" "$(sed 's/\x1b\[[0-9;]*m//g' narrow | grep '●' | grep -E '.{31}' | head -1)"
check "in colour" grep -q "$(printf '\033\\[3')" narrow
on_terminal 80 NO_COLOR=1 >grey
check "but not with NO_COLOR" lacks grey "$(printf '\033')"
for script in 'false; echo no' 'echo $UNSET_NAME' "sh -c 'kill -9 \$\$'; true" 'nosuchprogram'; do
	printf 'name: f\nfrom: base.yaml\nlayers: [{name: f, run: "%s"}]\n' "$script" >f.yaml
	check_fails "fails: $script" 4 "$SBUILD" f.yaml
done
printf 'name: f\nfrom: base.yaml\nlayers: [{name: f, run: {script: "true", user: nobody2}}]\n' >f.yaml
check_fails "an unknown user" 4 "$SBUILD" f.yaml
printf 'name: f\nfrom: scratch\nlayers: [{name: f, run: "true"}]\n' >f.yaml
check_fails "a root without a shell" 4 "$SBUILD" f.yaml

recipe pip <<'EOF'
args: {SAYS: none}
layers:
  - name: python
    run: |
      printf '#!/bin/sh\necho "$0: %s" >&2; exit 1' "$SAYS" >/bin/python3; chmod 755 /bin/python3
  - {name: pip, pip: {packages: [six], python: /bin/python3}, network: none}
EOF
check_fails "an image without pip" 4 "$SBUILD" pip.yaml --set SAYS="No module named pip"
check_said 'add a step before .*python3-pip'
check_fails "a package that is not there" 4 "$SBUILD" pip.yaml --set SAYS="No matching distribution found for six"
check "is not said to be a lack of pip" lacks said 'python3-pip'

# ---- layers and the cache ----

recipe layers <<'EOF'
context: .
layers:
  - name: several
    steps:
      - run: echo first >/several; mkdir /dir; echo x >/dir/gone
      - copy: {from: src/file, to: /copied}
      - run: cat /copied >>/several; rm /dir/gone; [ -e /several ]
  - {name: run, run: "rm /copied; ln -s several /link; echo y >/dir/new"}
  - {name: copy, copy: {from: src, to: /link-target/}}
  - {name: last, run: "cat /link >/last; mv /dir /dir2"}
EOF
first=$(build layers.yaml) || cat err
check_equal "all layers are built at first" "several run copy last" "$(built)"
second=$(build layers.yaml)
check_equal "none the second time" "" "$(built)"
check_equal "one digest" "$first" "$second"
check_equal "--no-cache gives it again" "$first" "$(build layers.yaml --no-cache)"
check_equal "and builds all" "busybox several run copy last" "$(built)"
check_equal "-j1 gives it" "$first" "$(build layers.yaml --no-cache -j1)"
check_equal "runc gives it" "$first" "$(build layers.yaml --no-cache --runtime runc)"
if crun=$(build layers.yaml --no-cache --runtime crun); then
	check_equal "crun gives it" "$first" "$crun"
else
	check "crun says why it can't run here" has err 'error: .*crun'
fi
check_equal "a store of any name gives it" "$first" "$(build layers.yaml --store "$T/a store: é,\\")"
check_fails "a runtime that is not there" 1 build layers.yaml --no-cache --runtime nosuchrun
"$SBUILD" export layers:latest --format rootfs -o layers.tar 2>/dev/null
check_equal "the files are those of all layers" "dir2/new last link link-target/file several" \
	"$(tar -tf layers.tar | sed 's|^\./||' | grep -Ev '^(bin|etc|root|tmp)(/|$)|/$' | sort | tr '\n' ' ' | sed 's/ $//')"
check_equal "the last layer read the first one's" "first one" "$(tar -xOf layers.tar last | tr '\n' ' ' | sed 's/ $//')"

# Steps see the environment of the recipe below: a plan knows it too.
recipe middle <<'EOF'
image: {env: {STAGE: middle}, workdir: /tmp}
EOF
cat >top.yaml <<'EOF'
name: top
from: middle.yaml
layers: [{name: see, run: 'echo "$STAGE $PWD" >/see'}]
EOF
build top.yaml >/dev/null || cat err
check_equal "the recipe below sets environment and directory" "middle /tmp" \
	"$("$SBUILD" export top --format rootfs | tar -xO see)"
check_equal "what is cached is planned so" "cached cached" \
	"$("$SBUILD" plan top.yaml --json | jq -r '[.layers[].state] | join(" ")')"

# Layers that run in sequence, none with a copy, run ahead of the packing; one at a time gives the same.
recipe ahead <<'EOF'
layers:
  - {name: a, run: "head -c 3000000 /bin/busybox >/a; cat /bin/busybox /bin/busybox /bin/busybox >/big; echo a >/order"}
  - {name: b, run: "cp /a /b; echo b >>/order; rm /big"}
  - {name: c, run: "mv /b /c; echo c >>/order"}
EOF
ahead=$(build ahead.yaml)
check_equal "three layers" "a b c" "$(built)"
head -n 3 ahead.yaml >step.yaml
sed -i 's/^name: .*/name: step/' step.yaml
for line in 4 5 6; do
	sed -n "${line}p" ahead.yaml >>step.yaml
	step=$(build step.yaml --store "$T/other")
done
diffs() { jq -r '[.layers[].diff_id] | join(" ")' meta; }
build step.yaml --store "$T/other" >/dev/null && one=$(diffs)
build ahead.yaml >/dev/null
check_equal "layers that ran ahead are those that ran one at a time" "$one" "$(diffs)"
check_fails "a layer below a failing one is kept" 4 sh -c \
	"sed 's/mv .b/false; mv \/b/' ahead.yaml | sed 's/name: ahead/name: broken/; s/to a/to A/' >broken.yaml; '$SBUILD' broken.yaml --no-cache"
build ahead.yaml >/dev/null

# Early cut-off: the base is built again with the same content.
recipe low <<'EOF'
layers: [{name: low, run: "echo same >/low"}]
EOF
printf 'name: high\nfrom: low.yaml\nlayers: [{name: high, run: "cat /low >/high"}]\n' >high.yaml
build high.yaml >/dev/null
check_equal "two recipes" "low high" "$(built)"
sed -i 's/echo same/printf "%s\\n" same/' low.yaml
sed -i "s/run: \\(\"\\)\\(.*\\)\"}]/run: '\\2'}]/" low.yaml
check "a base built another way" build high.yaml
check_equal "keeps what stands on it" "low" "$(built)"
check_store "after all of this"
