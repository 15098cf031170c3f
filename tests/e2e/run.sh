#!/bin/sh
# sbuild run: programs in images and where a step failed; their terminals, signals and statuses. Tests of recipes.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need python3 jq curl
busybox_base
start_registry main

run() {
	"$SBUILD" run "$@" 2>err
}
cat >app.yaml <<'END'
name: app
from: base.yaml
layers: [{name: data, run: "mkdir -p /data && echo one >/data/file && chown -R worker /data"}]
image: {user: worker, workdir: /data, env: {GREETING: hello}, entrypoint: [echo], cmd: [from, cmd]}
END

# ---- what runs, and as what

check_equal "entrypoint and cmd" "from cmd" "$(run app.yaml)"
check_equal "no tag is set" "[]" "$("$SBUILD" images --json)"
"$SBUILD" app.yaml >out 2>&1 || cat out
check_equal "an image of the store; its user, workdir and environment, and nothing else" \
	"1234 /data hello /home - -" "$(run app sh -c 'echo $(id -u) $PWD $GREETING $HOME ${LANG:--} ${SOURCE_DATE_EPOCH:--}')"
check_equal "options of the program are its own" "-l --help" "$(run app echo -l --help)"
check_equal "another user, directory and variable" "0 / x y" "$(A=y run -u root --workdir / --env B=x -e A app sh -c 'echo $(id -u) $PWD $B $A')"
head -c 3000000 /dev/urandom >random
check_equal "input and output pass" "$(sha256sum <random)" "$(run app cat <random | sha256sum)"
run app sh -c 'echo out; echo err >&2' >out
check_equal "output and errors stay apart" "out err" "$(cat out err | paste -sd ' ')"
check_equal "a reader that goes away ends it" "y" "$(run app yes | head -n 1)"
run app sh -c 'echo two >/data/file; echo >/data/more' || cat err
check_equal "what it writes is thrown away" "one file" "$(run app sh -c 'cat /data/file; ls /data' | paste -sd ' ')"
check_fails "its status is the program's" 7 "$SBUILD" run app sh -c 'exit 7'
check_fails "a program that is not there is no program's failure" 125 "$SBUILD" run app nothing
check_said 'the root has no program nothing'
check_fails "nor an image that is not there" 125 "$SBUILD" run sha256:123456789
check_fails "nor a wrong option" 125 "$SBUILD" run --shel app
check_said 'did you mean --shell'
check_equal "no network" "lo" "$(run app ls /sys/class/net)"
echo a-h1dden-value >secret
check_equal "secrets" a-h1dden-value "$(run -u root --secret id=token,src=secret app cat /run/secrets/token)"
check_equal "a shell: what the image has" /bin/sh "$(echo 'echo $0' | run --shell app)"
check_store "after all that"

# ---- terminals and signals

cat >session.py <<'END'
# session.py "WAIT|TYPE|WAIT|TYPE…" COMMAND…: on a terminal of its own
import fcntl, os, pty, select, struct, subprocess, sys, termios, time
script, command = sys.argv[1].split("|"), sys.argv[2:]
def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
main, side = pty.openpty()
resize(main, 33, 77)
before = termios.tcgetattr(side)
process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, start_new_session=True,
                           preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
screen, mark, until = b"", 0, time.time() + 20
while time.time() < until:
    if select.select([main], [], [], 0.1)[0]:
        screen += os.read(main, 65536)
    elif process.poll() is not None:
        break
    if len(script) > 1 and script[0].encode() in screen[mark:]:
        mark = len(screen)
        text = script[1]
        script = script[2:]
        if text.startswith("SIZE"):
            resize(main, *map(int, text.split()[1:]))
            os.write(main, b"sleep 1; stty size\n")
        else:
            os.write(main, text.encode().decode("unicode_escape").encode())
else:
    process.terminate()
print(screen.decode().replace("\r\n", "\n"))
print("status", process.wait())
print("as it was" if termios.tcgetattr(side) == before else "changed")
END
session() { # SCRIPT COMMAND…
	timeout 40 python3 session.py "$@" >screen 2>&1 || :
}
wait_ready() {
	for _ in $(seq 100); do
		! grep -q ready out || return 0
		sleep 0.1
	done
}
for runtime in crun runc; do
	command -v $runtime >/dev/null || { skip "$runtime is not installed" && continue; }
	session '$ |tty; stty size; echo kind $TERM\n|kind vt100|SIZE 44 99|44 99|exit 5\n' \
		env TERM=vt100 "$SBUILD" run --shell --runtime $runtime app
	check "$runtime: a terminal of this one's size" has screen '^33 77'
	check "$runtime: it has a name there" has screen '^/dev/(pts/0|console)'
	check "$runtime: it is of this one's kind" has screen '^kind vt100'
	check "$runtime: a new size is told" has screen '^44 99'
	check "$runtime: the shell's status" has screen '^status 5'
	check "$runtime: the terminal is what it was" has screen '^as it was'
	"$SBUILD" run --runtime $runtime app sh -c 'trap "echo told; exit 9" TERM; echo ready; while :; do sleep 0.1; done' >out 2>err &
	pid=$!
	wait_ready
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	check_equal "$runtime: a signal goes to the program" "ready told 9" "$(paste -sd ' ' out) $status"
	python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])' \
		"$SBUILD" run --runtime $runtime app sh -c 'trap : INT; echo ready; while :; do sleep 0.1; done' >out 2>err &
	pid=$!
	wait_ready
	kill -INT $pid
	sleep 0.5
	check "$runtime: a first ^C is the program's, which doesn't care" kill -0 $pid
	kill -INT $pid
	check "$runtime: a second one ends all" timeout 10 tail --pid=$pid -f /dev/null
	wait $pid || :
done

# ---- where a step failed

"$SBUILD" prune >out
check_fails "nothing failed so far" 125 "$SBUILD" run --failed
check_said 'no failed step is kept'
cat >failing.yaml <<'END'
name: failing
from: base.yaml
args: {MODE: fast}
layers:
  - {name: before, run: "mkdir /w && echo below >/w/below && chown worker /w"}
  - name: broken
    steps:
      - run: echo first >/first
      - run: {script: "echo $MODE >left; echo kept >/cache/object; rm /w/below; cat /run/secrets/* >/dev/null; exit 4", workdir: /w, user: worker}
        cache: [/cache]
        secrets: [token]
image: {env: {COLOUR: green}}
END
check_fails "a step fails" 4 "$SBUILD" failing.yaml --secret id=token,src=secret
check_equal "its message ends with how to get there" "    a shell where it failed: sbuild run --failed" "$(tail -n 1 said)"
check_equal "the root as it was left" "first fast left /w 1234 green fast" \
	"$(run --failed sh -c 'cat /first left; ls; echo $PWD $(id -u) $COLOUR $MODE' | paste -sd ' ')"
check "it says what failed" has err 'failing.yaml:9: run: .* ended with status 4'
check "and what is missing" has err 'without its secret token'
check_equal "the secret, given again" a-h1dden-value "$(run --failed --secret id=token,src=secret cat /run/secrets/token)"
check_equal "what it keeps between builds" kept "$(run --failed cat /cache/object)"
run --failed sh -c 'echo changed >/cache/object; echo changed >left; echo more >/w/more' || cat err
check_equal "neither changes" "kept fast left" "$(run --failed sh -c 'cat /cache/object left; ls' | paste -sd ' ')"
check_equal "a shell, and as root" "0 /w" "$(echo 'echo $(id -u) $PWD' | run --failed --shell --user root)"
check "no secret is in anything that is kept" sh -c '! grep -r a-h1dden-value "$SBUILD_STORE"'
cat >ahead.yaml <<'END'
name: ahead
from: base.yaml
layers: [{name: large, run: "head -c 30000000 /dev/urandom >/large"}, {name: ahead, run: "rm /large && echo above >/above && exit 3"}]
END
check_fails "one fails while the layer below is still being packed" 4 "$SBUILD" ahead.yaml
check_equal "its root has both" "above 30000000" "$(run --failed sh -c 'cat /above; ls / | grep -c large' | sed s/0/30000000/ | paste -sd ' ')"
printf 'name: shown\nfrom: base.yaml\nlayers: [{name: shown, run: "exit 3", inputs: {from: random, to: /in/}}]\n' >shown.yaml
check_fails "one with inputs fails" 4 "$SBUILD" shown.yaml
check_equal "they are there" "$(sha256sum <random)" "$(run --failed sha256sum /in/random | sed s,/in/random,-,)"
"$SBUILD" prune >out
check_fails "another fails" 4 "$SBUILD" failing.yaml --secret id=token,src=secret --set MODE=slow
check_equal "the last one is kept" "1 slow" "$(ls "$SBUILD_STORE/sbuild/failed" | wc -l) $(run --failed cat left)"
"$SBUILD" run --failed sh -c 'echo ready; while :; do sleep 0.1; done' >out 2>err &
pid=$!
wait_ready
"$SBUILD" prune >pruned
check_equal "prune leaves what somebody looks at" 1 "$(ls "$SBUILD_STORE/sbuild/failed" | wc -l)"
kill -TERM $pid
sleep 0.2
kill -TERM $pid
wait $pid || :
"$SBUILD" prune --json >pruned
check_equal "and takes it afterwards" "1 0" "$(python3 -c 'import json; print(json.load(open("pruned"))["removed"]["failed"]["count"])') $(ls "$SBUILD_STORE/sbuild/failed" | wc -l)"
check_store "in the end"

# ---- the same without root

if command -v setpriv >/dev/null && command -v newuidmap >/dev/null; then
	test_user
	cp -r base.yaml rootfs failing.yaml "$T/home/" && chown -R "$user" "$T/home"
	as() { as_user -C "$T/home" SBUILD_STORE="$T/home/store" HOME="$T/home" "$@"; }
	check_equal "a user: a program" "0 1" "$(as "$SBUILD" run base.yaml sh -c 'id -u; ls /sys/class/net | wc -l' 2>err | paste -sd ' ')"
	echo a-h1dden-value >"$T/home/secret" && chown "$user" "$T/home/secret"
	check_fails "a user: a step fails" 4 as "$SBUILD" failing.yaml --secret id=token,src=secret
	check_equal "a user: where it failed" "fast 1234 kept" "$(as "$SBUILD" run --failed sh -c 'cat left; id -u; cat /cache/object' 2>err | paste -sd ' ')"
	as "$SBUILD" prune >pruned 2>&1 || cat pruned
	check_equal "a user: prune takes it" 0 "$(ls "$T/home/store/sbuild/failed" | wc -l)"
else
	skip "no users with subordinate ids here"
fi

# ---- tests of recipes

cat >tested.yaml <<'END'
name: tested
from: base.yaml
args: {WORD: yes}
layers: [{name: www, run: "mkdir -p /www && echo well >/www/health", args: []}]
image: {user: worker, workdir: /www, env: {X: y}, entrypoint: [httpd, -f, -p, "8003", -h, /www]}
test:
  - run: test "$X $(id -u) $PWD ${LANG:-none}" = "y 1234 /www none"
    args: []
  - run:
      user: root
      script: |
        test $WORD = yes
        touch /tmp/mark
  - run: test ! -e /tmp/mark && cat health
    args: []
    secrets: [token]
  - service
service: {port: 8003, health: {http: /health, timeout: 6s}, secrets: [token], directories: {state: /www/state}}
END
tested() { "$SBUILD" tested.yaml --secret id=token,src=secret --progress plain "$@"; }
check_fails "the secrets of tests are known before" 2 "$SBUILD" tested.yaml
check_said 'the secret token was not given'
"$SBUILD" plan tested.yaml --secret id=token,src=secret >plan
check "a plan says that they depend on what is built" has plan '^unknown +tested +test 1'
check "all pass" tested --metadata-file meta.json
check_equal "the metadata says so" "passed passed passed passed False" \
	"$(python3 -c 'import json; m = json.load(open("meta.json")); print(*[t["state"] for t in m["tests"]], m["tests_skipped"])')"
tested >out 2>&1 || cat out
check_equal "they are not run again" 0 "$(grep -c testing out)"
"$SBUILD" plan tested.yaml --secret id=token,src=secret >plan
check_equal "a plan says that, too" 4 "$(grep -Ec '^cached +tested +test' plan)"
check "nothing of a test is in the image" sh -c '! "$SBUILD" ls -R tested | grep -E "mark|state|secrets"'
printf 'a new value' >secret2
"$SBUILD" plan tested.yaml --secret id=token,src=secret2 >plan
check_equal "but with another secret those that have it" "cached cached test test" "$(awk '$3 == "test" { print $1 }' plan | paste -sd ' ')"
"$SBUILD" plan tested.yaml --secret id=token,src=secret --set WORD=no >plan
check_equal "and with another argument those that see it" "cached test cached cached" "$(awk '$3 == "test" { print $1 }' plan | paste -sd ' ')"
before=$("$SBUILD" images --json)
check_fails "one fails: status 4" 4 tested --set WORD=no --tag other --metadata-file meta.json
check_said 'tested.yaml:12: test: `test \$WORD = yes` ended with status 1'
check_equal "nothing got a name" "$before" "$("$SBUILD" images --json)"
check_equal "the metadata has the error, and which it was" "4 failed" \
	"$(python3 -c 'import json; m = json.load(open("meta.json")); print(m["error"]["status"], [t["state"] for t in m["tests"]][1])')"
check_equal "where it failed" "/www 0 no" "$(run --failed sh -c 'echo $PWD $(id -u) $WORD')"
check "it runs none" tested --set WORD=no --skip-tests --metadata-file meta.json
check_equal "the metadata says so" True "$(python3 -c 'import json; print(json.load(open("meta.json"))["tests_skipped"])')"
check "--until runs none" tested --set WORD=no --until www
sed -i 's|http: /health|http: /nothing|' tested.yaml
check_fails "a service that isn't well" 4 tested
check_said 'tested.yaml:17: test: the service was not healthy within 6.00 s: http://127.0.0.1:8003/nothing answers 404'
sed -i 's|http: /nothing|command: test -e health|' tested.yaml
check "health by a command" tested
sed -i 's|command: test -e health|tcp: 8003|' tested.yaml
check "health by a port" tested
sed -i 's|entrypoint: .*|entrypoint: [sh, -c, "echo my last words; exit 5"]}|' tested.yaml
check_fails "a service that ends" 4 tested
check_said 'the service ended with status 5 before it was healthy'
check_said 'my last words'
if [ -n "$made_user" ]; then
	sed -i 's|entrypoint: .*|entrypoint: [httpd, -f, -p, "8003", -h, /www]}|; s|tcp: 8003|http: /health|' tested.yaml
	cp tested.yaml "$T/home/" && chown "$user" "$T/home/tested.yaml"
	check "a user: tests" as "$SBUILD" tested.yaml --secret id=token,src=secret
fi

# ---- what other services say, and what is left out

cat >more.yaml <<END
name: more
from: base.yaml
args: {WORD: one}
build: {env: {ONLY: built}}
image: {env: {X: y}, cmd: [sh, -c, "grep -qx a-h1dden-value \$CREDENTIALS_DIRECTORY/token && readlink /proc/self/ns/user && exec httpd -f -p 80"], repository: $REGISTRY/team/more}
test:
  - {run: "test \"\$X \$Z \${ONLY:-hidden}\" = 'y yz hidden'", env: {Z: "\${X}z"}}
  - {run: exit 9, when: {WORD: two}}
  - service
service: {secrets: [token], port: 80, health: {tcp: 80, timeout: 5s}}
END
more() { "$SBUILD" "$@" more.yaml --secret id=token,src=secret; }
more plan 2>err >plan || cat err
check "a plan tells of a test that is left out" has plan '^left-out +more +test 2 +WORD is "one", not "two"'
check "a test has variables of its own, and none of build; a service's secret is there" more build --metadata-file meta.json --progress plain
cp "$T/.check" said
if command -v crun >/dev/null; then
	check "root there is not root here" sh -c '! grep -qF "| $(readlink /proc/self/ns/user)" said && grep -q "| user:" said'
else
	skip "no crun here, which makes user namespaces in other networks"
fi
check_equal "what was tested" "passed left-out passed" "$(jq -r '[.tests[].state] | join(" ")' meta.json)"
check_fails "with a secret that it does not take" 4 "$SBUILD" more.yaml --secret id=token,src=secret2
check_said 'more.yaml:9: test: the service ended with status 1'
sed -i 's/{run: "test /{run: "false /' more.yaml

# ---- nothing is published of what failed

before=$("$SBUILD" images --json)
check_fails "a failing test: nothing is pushed" 4 more build --push
check_fails "nor is a bundle made" 4 more bundle
check_fails "or pushed" 4 more bundle --push
check_equal "the registry has no such repository" '{"repositories":[]}' "$(registry_get _catalog)"
check_equal "nothing in the store has a new name" "$before" "$("$SBUILD" images --json)"
check "one that has none is pushed" "$SBUILD" app.yaml --push --tag "$REGISTRY/team/app:v1"

# ---- an image of a registry

check_equal "it is pulled" "from cmd" "$("$SBUILD" run --store pulled "$REGISTRY/team/app:v1" 2>err || cat err)"
check_equal "and is here then" "hello" "$("$SBUILD" run --store pulled "$REGISTRY/team/app:v1" sh -c 'echo $GREETING' 2>err || cat err)"
check "it says nothing of fetching" sh -c "! grep fetching err"
check_fails "one that is not there" 125 "$SBUILD" run --store pulled "$REGISTRY/team/none:v1"
check_store "after the tests"
