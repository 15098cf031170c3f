#!/bin/sh
# What a step can do beyond its build, tried by a program that is one: as root and as a user with subordinate
# ids, with and without the host's network. Neither the user's processes and files, nor the store, nor the
# kernel's settings are in its reach.
. tests/e2e/lib.sh
need_root
need gcc runc python3 openssl
busybox_base
test_user
mkdir -p app
gcc -O1 -static -o app/probe "$TOP/tests/e2e/step-probe.c" 2>err || skip_all "no static programs can be made here"
echo >app/here-is-the-image
mark=mark-of-the-host-$$
mkdir -p home/.ssh
echo "$mark" >home/.ssh/key
chown -R "$user" home/.ssh
chmod 700 home/.ssh

# Of the same user, each: with the mark in its environment, its words, and an abstract socket of that name.
cat >host.py <<'END'
import os, socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.bind(chr(0) + sys.argv[1])
    s.listen(100)
    open(sys.argv[2], "w").write(str(os.getpid()))
    while True:
        s.accept()[0].close()
END
chmod -R a+rX .
mkdir -m 777 pids
MARK=$mark python3 host.py "$mark" "$T/pids/root" &
as_user MARK="$mark" python3 host.py "$mark-user" "$T/pids/user" &
for _ in $(seq 100); do [ ! -s pids/root ] || [ ! -s pids/user ] || break; sleep 0.05; done

tries() { # root|user NETWORK: what it could do
	case $1 in
	root) set -- "$1" "$2" "$mark" "" ;;
	user) set -- "$1" "$2" "$mark-user" as_user ;;
	esac
	cat >"home/probe-$1-$2.yaml" <<-END
		name: probe-$1-$2
		from: $T/base.yaml
		layers:
		  - {name: app, copy: {from: ../app, to: /}}
		  - name: try
		    network: $2
		    run: /probe $3 $(cat "pids/$1") $T/home/.ssh/key $T $HOME/.profile /etc/shadow /run/systemd /usr/bin/python3 2>&1
	END
	sed -e "s|from: $T/base.yaml|from: base.yaml|" -e 's|\.\./app|app|' "home/probe-$1-$2.yaml" >"probe-$1-$2.yaml"
	$4 env MARK="$3" "$SBUILD" "probe-$1-$2.yaml" --progress plain >"$1-$2.out" 2>&1 || { cat "$1-$2.out"; echo "GOT no build"; }
	sed -n 's/.*| \(GOT .*\|tried\)$/\1/p' "$1-$2.out"
}
# Before Linux 6.12 nothing keeps abstract sockets from steps that have this network.
sockets='vsock by 32'
python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 6)' || sockets="$sockets\\|abstract socket of the host"
for who in root user; do
	check_equal "a step of $who's has nothing of the host" "tried" "$(tries $who none)"
	# Which belong to the network, and docs/SECURITY.md says so.
	check_equal "nor on the host's network, but for sockets" "tried" "$(tries $who host | grep -v "$sockets")"
done

# Programs of root's build have numbers, and whoever has an account of that number is another user still: what
# they read and write through /proc is neither the step's secret nor the image's file.
printf s3cret-of-a-step >given
for network in none host; do
	cat >number.yaml <<-END
		name: number
		from: base.yaml
		layers:
		  - {name: home, run: mkdir -m 777 /home}
		  - {name: try, network: $network, run: {script: echo good >/home/f && sleep 3 && cat /home/f, user: "$(id -u "$user"):$(id -g "$user")"}, secrets: [key]}
	END
	"$SBUILD" number.yaml --no-cache --progress plain --secret "id=key,src=$T/given" >number.out 2>&1 &
	build=$!
	for _ in $(seq 100); do ! pgrep -u "$user" -x sleep >pid || break; sleep 0.05; done
	check "a step runs as the user's number (network $network)" test -s pid
	check_equal "who reads none of its secrets" "" \
		"$(as_user sh -c 'cat /proc/$1/root/run/secrets/key /proc/$1/environ; echo evil >/proc/$1/root/home/f' sh "$(cat pid)" 2>/dev/null)"
	check "the build is done" wait "$build"
	check "and has what it made" grep -q '| good$' number.out
done

# What a build leaves is no other user's: programs that are setuid lie below directories that nobody enters.
cat >setuid.yaml <<-END
	name: setuid
	from: base.yaml
	layers: [{name: setuid, run: cp /bin/busybox /suid && chown 12:12 /suid && chmod 6755 /suid && mkdir -m 777 /open}, {name: use, run: test -u /suid}]
END
check "the user builds setuid programs" as_user "$SBUILD" setuid.yaml
check "root as well" "$SBUILD" setuid.yaml
for store in "$SBUILD_STORE" "$T/home/.local/share/sbuild"; do
	check "there is one in $store" sh -c 'find "$1" -perm /6000 -type f | grep -q .' sh "$store"
	check_equal "nobody else reaches what may be run or written in $store" "" \
		"$(setpriv --reuid 65534 --regid 65534 --clear-groups find "$store" \( -perm /6000 -o -writable \) ! -type l 2>/dev/null)"
done

# ---- authorities of a user's settings ----
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ours -keyout ca.key -out ca.pem 2>/dev/null
mkdir -p home/.config/sbuild && cp ca.pem home/.config/sbuild/
echo 'steps: {authorities: ~/.config/sbuild/ca.pem}' >home/.config/sbuild/config.yaml
chmod -R a+rX home/.config
cat >home/trust.yaml <<END
name: trust
from: $T/base.yaml
layers:
  - name: look
    network: host
    run: {user: "1000:1000", script: 'cat "\$CURL_CA_BUNDLE"; grep -q CaInfo "\$APT_CONFIG"; ! touch /run/sbuild-authorities/x'}
  - {name: after, run: 'ls /run && exit 1; env | grep -i authorit && exit 1; true'}
END
sed "s|from: .*|from: base.yaml|" home/trust.yaml >trust.yaml
check "a user of a step reads what the settings name, as a user's build" as_user HOME="$T/home" "$SBUILD" trust.yaml --progress plain
sed -n 's/^trust look | //p' .check | grep -v touch >trusted
check "all of it" diff trusted ca.pem
cat >home/own.yaml <<END
name: own
from: $T/base.yaml
layers:
  - name: look
    network: host
    secrets: [{name: ca, to: /etc/ssl/certs/ca-certificates.crt}]
    run: '[ -z "\${SSL_CERT_FILE-}" ] && [ "\$(cat /etc/ssl/certs/ca-certificates.crt)" = own ]'
END
echo own >home/own.pem && chmod 644 home/own.pem
check "where a step brings its own as a secret, that is alone" as_user HOME="$T/home" "$SBUILD" home/own.yaml --allow "$T" --secret id=ca,src=home/own.pem
chmod 600 home/.config/sbuild/ca.pem
check_fails "one that may not be read is told of" 1 as_user HOME="$T/home" "$SBUILD" trust.yaml --no-cache
check_said 'steps: .authorities: .*ca.pem'

# The user's subordinate ids: all of the largest range are there, and when it becomes another one, layers that were
# unpacked with the former have their owners all the same.
cat >home/ids.yaml <<-END
	name: ids
	from: $T/base.yaml
	layers:
	  - {name: made, run: touch /made && chown 1234:77 /made && mkdir /dir && touch /dir/f && chown -R 5:5 /dir}
	  - {name: used, run: "stat -c %u:%g /made /dir/f >/owners; cp -a /dir /copy; echo ONE >/n", cache: [/kept]}
	  - {name: user, run: {script: "id -u >>/kept/ids", user: worker}, cache: [/kept]}
END
sed -e "s|from: $T/base.yaml|from: base.yaml|" home/ids.yaml >ids.yaml
owners() { as_user "$SBUILD" export ids --format rootfs -o - | tar -xO -f - owners | xargs; }
check "a step gives files to others" as_user "$SBUILD" ids.yaml
check_equal "their owners are seen above" "1234:77 5:5" "$(owners)"
range() { # add|del: usermod changes nobody who runs something, and one process at a time has the files
	for _ in 1 2 3 4 5; do
		! usermod "--$1-subuids" 3000000000-3000999999 "--$1-subgids" 3000000000-3000999999 "$user" 2>usermod.err || return 0
		sleep 0.2
	done
	cat usermod.err && false
}
kill "$(cat pids/user)" && while kill -0 "$(cat pids/user)" 2>/dev/null; do sleep 0.05; done
check "the user gets more ids" range add
sed -i s/ONE/TWO/ ids.yaml
check "the user's ids are others now" as_user "$SBUILD" ids.yaml
check_equal "the owners are the same" "1234:77 5:5" "$(owners)"
check_equal "of what was copied, too" 5/5 \
	"$(as_user "$SBUILD" export ids --format rootfs -o - | tar --numeric-owner -tvf - copy/f | awk '{ print $2 }')"
cat >large.yaml <<-END
	name: large
	from: base.yaml
	layers:
	  - {name: copied, copy: {from: base.yaml, to: /c/, owner: "400000:400001"}}
	  - {name: given, run: "stat -c %u:%g /c/base.yaml >/owners; chown 999999:999999 /owners"}
	  - {name: user, run: {script: "id -u", user: "400000"}}
END
check "ids beyond 65535 are there where the user has them" as_user "$SBUILD" large.yaml
check "the user has the first ids only" range del
sed -i s/TWO/THREE/ ids.yaml
check "back to the first ids" as_user "$SBUILD" ids.yaml
check_equal "again the same" "1234:77 5:5" "$(owners)"
sed -i 's/id -u/id -g/' large.yaml
check_fails "too large an id" 1 as_user "$SBUILD" large.yaml
check_said 'hint: .*subordinate ids'
sed -i 's/{name: user.*/{name: user, run: "chown 400000 \/owners"}/; /name: copied\|name: given/d' large.yaml
sed -i 's/^layers:/layers:\n  - {name: made, run: touch \/owners}/' large.yaml
check_fails "nor can a step give files to it" 4 as_user "$SBUILD" large.yaml
check_said 'hint: .*subordinate ids'
sed -i 's/{name: user.*/{name: user, run: {script: "true", user: "400000"}}/' large.yaml
check_fails "nor run as it" 4 as_user "$SBUILD" large.yaml
check_said 'is 400000:0, which whoever builds has no ids for'
check_said 'hint: .*subordinate ids'
