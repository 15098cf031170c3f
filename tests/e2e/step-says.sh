#!/bin/sh
# What is said of a run step that fails: the command, its line of the recipe, and what a program's message means for a step.
. tests/e2e/lib.sh
need_root
need runc
busybox_base

# ---- which command

recipe() { # LINES OF run: on standard input
	printf 'name: t\nfrom: base.yaml\nlayers:\n  - name: l\n' >t.yaml
	sed 's/^/    /' >>t.yaml
}
says() { # NAME WHERE-AND-WHAT    (the recipe is t.yaml, run: is its line 5)
	check_fails "$1" 4 "$SBUILD" build t.yaml --no-cache
	check "$1: it names it" grep -Fq "sbuild: error: layer l: t.yaml:$2 ended with status" said
}
recipe <<'END'
run: |
  # what it does

  echo one
  cat /nonexistent \
    /other
  echo two
END
says "a command over two lines" '9: run: `cat /nonexistent /other`'
recipe <<'END'
run: |
  # a comment
  false # the only one
END
says "a single command" '7: run: `false # the only one`'
recipe <<'END'
run:
  user: worker
  workdir: /tmp
  script: |-
    set -x
    f() {
      return 5
    }
    f
    true
END
says "a function, as a user, in a mapping" '13: run: `f`'
recipe <<'END'
run: |
  true
  for i in 1 2; do
    false
  done
  true
END
says "a loop" '7: run: `for i in 1 2; do …`'
recipe <<'END'
run: |
  true
  cat >/tmp/x <<EOF
  a
  b
  EOF
  grep -q c /tmp/x
  true
END
says "after a here-document" '11: run: `grep -q c /tmp/x`'
recipe <<'END'
run: >
  true

  false

  true
END
says "a folded script: the command alone" '5: run: `false`'
recipe <<'END'
run: "true\nfalse\ntrue"
END
says "a quoted script" '5: run: `false`'
recipe <<'END'
run: |
  true
  exit 3
  true
END
says "exit" '7: run: `exit 3`'
recipe <<'END'
run: |
  true
  echo "$NOT_SET"
  true
END
says "a variable that is not set" '7: run: `echo "$NOT_SET"`'
recipe <<'END'
run: {shell: [busybox, sh, -e], script: "true\nfalse | cat\n(exit 9)\ntrue"}
END
says "another shell" '5: run: `(exit 9)`'
recipe <<'END'
run: {shell: [env, sh, -e], script: "# first\ntrue\nfalse\ntrue"}
END
says "one that is not known: its first line" '5: run: `true …`'
recipe <<'END'
run: |
  echo a | while read -r x; do
    exit 4
  done
  true
END
says "a pipe into a loop" '6: run: `echo a | while read -r x; do …`'
recipe <<'END'
run: |
  x=$(
    cat /nonexistent
  )
  true
END
says "a substitution" '8: run: `)`'
cat >scripts.yaml <<'END'
name: scripts
from: base.yaml
layers:
  - name: means
    run: |
      [ "$(cat)" = "" ]
      echo 'echo "$1"' >/s
      [ "$(sh /s x)" = x ] && [ $# = 0 ]
      n=0; while [ $n -lt 500 ]; do n=$((n + 1)); done
      sleep 100 &
      ( exit 3 ) || [ $? = 3 ]
      trap 'echo trapped >/trapped' EXIT
      cat <<EOF >/doc
      $n
      EOF
      exec 5>/five
      echo 5 >&5
      [ -z "${0##*sbuild-script}" ]
      eval "echo a
      echo b" >/ab
      if true
      then
        exit 0
      fi
      not reached
END
check "scripts mean what they meant" "$SBUILD" build scripts.yaml
"$SBUILD" export scripts:latest --format rootfs -o all.tar
check_equal "and do it" "trapped 500 5 a b" "$(for f in trapped doc five ab; do tar -xOf all.tar $f; done | tr '\n' ' ' | sed 's/ $//')"
check_equal "nothing of how they come is left" "" "$(tar -tf all.tar | grep -e sbuild -e '^run' -e '^dev/.' || :)"

# ---- what it means

while IFS='|' read -r message hint; do
	printf 'name: t\nfrom: base.yaml\nlayers:\n  - name: l\n    run: |-\n      echo "%s" >&2; exit 9\n' "$message" >t.yaml
	check_fails "$message" 4 "$SBUILD" build t.yaml --no-cache
	check "$message: $hint" grep -q "hint: .*$hint" said
done <<'END'
curl: (6) Could not resolve host: example.com|network: host
wget: unable to resolve host address 'example.com'|network: host
wget: bad address 'example.com'|network: host
fatal: unable to access 'https://x/': Could not resolve host: x|network: host
ssh: Could not resolve hostname github.com: Temporary failure in name resolution|network: host
  Temporary failure resolving 'deb.debian.org'|network: host
NewConnectionError('[Errno -3] Temporary failure in name resolution')|network: host
npm error code EAI_AGAIN|network: host
npm ERR! network getaddrinfo ENOTFOUND registry.npmjs.org|network: host
warning: spurious network error: [6] Couldn't resolve host name (Could not resolve host: index.crates.io)|network: host
dial tcp: lookup proxy.golang.org: no such host|network: host
java.net.UnknownHostException: repo1.maven.org|network: host
connect: Network is unreachable|network: host
error: failed to lookup address information: Name or service not known|network: host
Failed to open TCP connection to rubygems.org:443 (getaddrinfo)|network: host
the input device is not a TTY|no terminal
stty: standard input: Inappropriate ioctl for device|no terminal
sudo: a terminal is required to read the password|no terminal
Do you want to continue? [Y/n] Abort.|apt-get -y
sh: ./tool: Exec format error|another processor
END
printf 'name: t\nfrom: base.yaml\nlayers: [{name: l, network: host, run: "echo Could not resolve host >&2; exit 6"}]\n' >t.yaml
check_fails "with the network" 4 "$SBUILD" build t.yaml --no-cache
check "no such hint" sh -c '! grep -q "network: host" said'
printf 'name: t\nfrom: base.yaml\nlayers: [{name: l, run: "echo FileNotFoundError: x >&2; exit 1"}]\n' >t.yaml
check_fails "a file that is missing" 4 "$SBUILD" build t.yaml --no-cache
check "has nothing to do with the network" sh -c '! grep -q "network: host" said'
printf 'name: t\nfrom: base.yaml\nlayers: [{name: l, steps: [{run: "echo Could not resolve host"}, {run: "false"}]}]\n' >t.yaml
check_fails "what another step said" 4 "$SBUILD" build t.yaml --no-cache
check "is no hint, either" sh -c '! grep -q "hint:" said'
printf 'name: t\nfrom: base.yaml\nlayers: [{name: l, run: "nosuch"}]\n' >t.yaml
check_fails "a program that is not there" 4 "$SBUILD" build t.yaml --no-cache
check_said 'hint: a program that the script calls is not in the image'
printf 'name: t\nfrom: base.yaml\nlayers: [{name: l, run: "echo >/x; chmod 644 /x; /x"}]\n' >t.yaml
check_fails "one that may not be run" 4 "$SBUILD" build t.yaml --no-cache
check_said 'hint: .*may not be executed'
printf 'name: t\r\nfrom: base.yaml\r\nlayers: [{name: l, run: "printf '"'"'nosuch\\\\r\\\\n'"'"' | sh"}]\n' >t.yaml
check_fails "Windows' line ends" 4 "$SBUILD" build t.yaml --no-cache
check_said "hint: .*line ends"
printf 'name: t\nfrom: base.yaml\nlayers: [{name: l, run: "echo W: Some index files failed to download. They have been ignored."}]\n' >t.yaml
check "apt-get update without the network" sh -c '"$SBUILD" build t.yaml --no-cache >said 2>&1'
check "is a warning" has said 'warning: layer l: t.yaml:3: apt-get could not fetch its lists.*network: host'
