#!/bin/sh
# A service that looks for all that is not its own (tests/e2e/service-probe.c): as each kind of user, with
# everything that is hardened, and with each switch of `harden` off in turn; on a node where alice is logged
# in as the user 1000, which is the image's too, and where another service has a secret.
. tests/e2e/node-service.lib
need gcc
boot_node one "${NODE_ROOT:-node}"
root=$(node_root one)
mkdir app
gcc -O1 -static -o app/probe "$TOP/tests/e2e/service-probe.c" 2>/dev/null || skip_all "no static programs can be made here"
ABSTRACT=sbuild-$(basename "$T")

# ---- who else is there ----

n sh -c 'echo alice:x:1000:1000::/home/alice:/bin/bash >>/etc/passwd; echo alice:x:1000: >>/etc/group
	mkdir -p /home/alice/.ssh /var/lib/victim; echo key >/home/alice/.ssh/authorized_keys
	chown -R 1000:1000 /home/alice; chmod 700 /home/alice /home/alice/.ssh; chmod 600 /home/alice/.ssh/authorized_keys
	for f in /host-secret /tmp/host-secret /var/tmp/host-secret /dev/shm/host-secret; do echo secret >$f; done
	mkdir -p /etc/sbuild/secrets/victim; echo secret >/etc/sbuild/secrets/victim/password; chmod 600 /etc/sbuild/secrets/victim/password'
as_alice() { n setpriv --reuid 1000 --regid 1000 --clear-groups -- "$@"; }
cat >others.py <<'END'
import ctypes, os, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
os.umask(0)
signal.signal(signal.SIGURG, lambda *_: print("signalled", flush=True))
made = libc.shmget(0x5b5b, 4096, 0o1666), libc.semget(0x5b5b, 1, 0o1666), libc.msgget(0x5b5b, 0o1666), \
    libc.mq_open(b"/sbuild-e2e", os.O_CREAT | os.O_RDWR, 0o666, None)
print("made" if min(made) >= 0 else f"not made: {made}", flush=True)
server = socket.socket(socket.AF_UNIX)
server.bind("\0" + sys.argv[1])
server.listen(64)
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    if struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1] == 0:
        peer.send(b"x")
    peer.close()
END
# python3 is not on the node: root's process is this machine's, in the node's namespaces but the mounts.
nsenter -t "$(node_pid one)" -p -i -n -u -C python3 others.py "$ABSTRACT" >others.out 2>&1 &
others=$!
as_alice sleep 1000 &
alice=$!
n setpriv --bounding-set=-all --inh-caps=-all sleep 1000 &
powerless=$!
cleanup() {
	kill $others $alice $powerless 2>/dev/null || :
}
wait_for 10 grep -q ready others.out
check "others have memory, semaphores and queues that all may use" grep -qx made others.out

# ---- a service with a secret; the probe's bundles ----

cp app/probe rootfs/bin/probe
chmod 4755 app/probe
cp app/probe app/suid
cat >victim.yaml <<-END
	name: victim
	from: base.yaml
	version: 1.0.0
	tags: [semver]
	layers: [{name: app, copy: {from: app, to: /app}}, {name: secret, run: "echo secret >/app/secret; chmod 600 /app/secret"}]
	image: {user: worker, workdir: /app, entrypoint: [/bin/sleep, "1000"]}
	service: {stop_timeout: 1s, secrets: [password], health: {steady: 0s, command: "grep -q secret \$CREDENTIALS_DIRECTORY/password && ! test -e /data"}}
END
# setuid programs and files of each kind of owner come by a step: copies are everybody's.
cat >probe.yaml <<-END
	name: probe
	from: base.yaml
	version: 1.0.0
	tags: [semver]
	layers:
	  - {name: app, copy: {from: app, to: /app}}
	  - name: owned
	    run: |
	      chmod 6755 /app/suid
	      for u in 0 1000 1234; do mkdir -m 700 /app/of-\$u; echo own >/app/of-\$u/file; chmod 600 /app/of-\$u/file; chown -R \$u:\$u /app/of-\$u; done
	image: {user: "1000:1000", workdir: /app, entrypoint: [/app/probe, /data/found, $ABSTRACT]}
	service:
	  stop_timeout: 1s
	  directories: {state: /data}
	  health: {timeout: 30s, steady: 0s, command: "test -e /data/found.done && /app/probe rights >/data/health.new && mv /data/health.new /data/health"}
END
for name in victim probe; do
	"$SBUILD" bundle $name.yaml -o "$name.tar" --units "units-$name" >out 2>&1 || cat out
	cp "units-$name/description.json" "$name.tar.description.json"
done
cp victim.tar "$root/root/"
n chmod 644 /etc/sbuild/secrets/victim/password
check "a service with a secret" n sbuild install /root/victim.tar
said 'every user of this host can read the secret'
n chmod 600 /etc/sbuild/secrets/victim/password

variant() { # NAME USER STATEMENTS: its bundle, on the node
	"$TOP/tests/e2e/hostile-bundle" probe.tar "$root/root/$1.tar" "d['name'] = '$1'; d['user'] = '$2'; $3"
}
found() { n cat "/var/lib/$1/found" | sort -u | paste -sd ';'; }
ipc="FOUND a named queue of the host;FOUND a queue of the host;FOUND semaphores of the host;FOUND shared memory of the host"
# What systemd before 248 can't keep away: it has no PrivateIPC=.
open_ipc=
[ "$(n systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" -ge 248 ] || open_ipc="$ipc"

# Of three kinds of users at once: all three find just that, run as somebody who is nobody else, read what
# the image's user could, and have health commands with as much as the service.
probe() { # WHAT NAME STATEMENTS EXPECTED
	for user in root:root ids:1000:1000 name:worker; do
		variant "$2-${user%%:*}" "${user#*:}" "$3"
		n sbuild install "/root/$2-${user%%:*}.tar" >"out-${user%%:*}" 2>&1 &
		eval "job_${user%%:*}=\$!"
	done
	for kind in root ids name; do
		eval "wait \$job_$kind" && status=0 || status=$?
		check_equal "$1, $kind: it is installed" 0 "$status"
		[ "$status" = 0 ] || cat "out-$kind"
		check_equal "$1, $kind: what it finds" "$(printf '%s\n' "$4" "$open_ipc" | tr ';' '\n' | sed '/^$/d' | sort -u | paste -sd ';')" "$(found "$2-$kind")"
		id=$(n cat "/etc/sbuild/ids/$2-$kind")
		pid=$(n systemctl show -P MainPID "$2-$kind")
		check_equal "$1, $kind: whose it is" "$id $id $id $id/$id" "$(n sed -n 's/^Uid:\t//p' "/proc/$pid/status" | tr '\t' ' ')/$(n stat -c %g "/proc/$pid")"
		n sed 's/nnp [01]//; /^CapInh/d' "/var/lib/$2-$kind/found.rights" >service.rights
		n sed 's/nnp [01]//; /^CapInh/d' "/var/lib/$2-$kind/health" >command.rights
		[ "$2" != low ] || sed -i -E 's/^(Cap(Eff|Prm|Amb):) 400$/\1 0/' service.rights # which it has no use for
		check "$1, $kind: a health command has what it has" diff service.rights command.rights
		check_fails "$1, $kind: no other user runs its programs" 1 as_alice sh -c "for f in /run/sbuild/$2-$kind/1/app/suid \
			/var/lib/$2-$kind/suid /var/lib/sbuild/sbuild/l/*/app/suid; do ! test -x \$f || exit 0; done; exit 1"
	done
	[ -z "${5:-}" ] || "$5" "$2"
	check_equal "$1: no two are the same" 3 "$(n cat /etc/sbuild/ids/$2-root /etc/sbuild/ids/$2-ids /etc/sbuild/ids/$2-name | sort -u | wc -l)"
	n sh -c "for kind in root ids name; do sbuild uninstall $2-\$kind >/dev/null 2>&1 & done; wait"
}
# In its place: what the image gives its user it has, and no more.
as() { # SERVICE COMMAND
	as_pid=$(n systemctl show -P MainPID "$1") as_id=$(n cat "/etc/sbuild/ids/$1")
	n nsenter -t "$as_pid" -m -r -S "$as_id" -G "$as_id" /bin/busybox sh -c "$2"
}
use() { # NAME
	check_equal "root reads all" "own own own" "$(as "$1-root" 'cat /app/of-*/file' | paste -sd ' ')"
	check_equal "the user 1000 what is its" "/app/of-1000/file" "$(as "$1-ids" 'ls /app/of-*/file 2>/dev/null')"
	check_equal "worker what is its" "/app/of-1234/file" "$(as "$1-name" 'ls /app/of-*/file 2>/dev/null')"
	check_equal "with its contents" own "$(as "$1-name" 'cat /app/of-1234/file')"
	check_equal "they have the names of the image" "root worker" "$(for kind in root name; do as "$1-$kind" 'id -un'; done | paste -sd ' ')"
	check_equal "and the homes" "HOME=/root HOME=/tmp HOME=/home" "$(for kind in root ids name; do
		n sh -c "tr '\\0' '\n' <\"/proc/\$(systemctl show -P MainPID $1-$kind)/environ\"" | grep ^HOME; done | paste -sd ' ')"
	check "they have a /dev/shm" as "$1-ids" 'echo x >/dev/shm/x && test "$(cat /dev/shm/x)" = x'
	check_fails "but can't write to their root" 1 as "$1-root" 'echo x >/app/of-0/file'
}
off() { echo "d['harden']['$1'] = False"; }
probe "all on" all pass "" use
probe "no_new_privileges off" nnp "$(off no_new_privileges)" ""
probe "capabilities off" caps "$(off capabilities)" "HAS capabilities to get"
probe "protect_system off" system "$(off protect_system)" ""
probe "protect_kernel off" kernel "$(off protect_kernel)" ""
probe "protect_processes off" processes "$(off protect_processes)" "$ipc;SEES processes"
probe "private_tmp off" tmp "$(off private_tmp)" "FOUND /dev/shm/host-secret;FOUND /tmp/host-secret;FOUND /var/tmp/host-secret"
probe "private_devices off" devices "$(off private_devices)" ""
probe "namespaces off" namespaces "$(off namespaces)" "HAS a namespace of its own (in a namespace)"
probe "address_families off" families "$(off address_families)" ""
rings="HAS requests that no filter sees" # where the kernel has io_uring, and its administrator lets users have it
[ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0)" = 0 ] || rings=
probe "system_calls off" calls "$(off system_calls)" "$rings"
probe "realtime off" realtime "$(off realtime)" ""
probe "a port below 1024" low "d['port'] = 80 + len(d['user'])" "HAS capabilities;HAS capabilities to get"
check_fails "nobody had a signal" 1 grep -q signalled others.out
check "alice's keys are as they were" grep -qx key "$root/home/alice/.ssh/authorized_keys"

# ---- as its image's user ----

own="d['harden']['own_ids'] = False; "
refused() { # WHAT USER MESSAGE [STATUS]
	variant refused "$2" "$own"
	check_fails "$1" "${4:-1}" n sbuild install /root/refused.tar
	said "$3"
}
refused "alice's number" 1000:1000 'that is the account alice'
refused "a group of the host" 0:42 'that is the group shadow'
refused "the group of root" 1234:0 'that is the group root'
n sh -c '{ printf big:x:4321:; seq -s, -f user%06.0f 12000; } >>/etc/group'
refused "a group of thousands" 1234:4321 'that is the group big'
refused "nobody" 65534:65534 'nobody'
refused "another service's own number" "$(n cat /etc/sbuild/ids/victim)" 'that is for services with own_ids'
refused "a name of the host that the image does not have" daemon 'the root has no user' 4
refused "a group of the host that the image does not have" root:shadow 'the root has no group' 4
refused "a number that is none" 4294967295 'is not a user' 6
variant one worker "$own"
check "a number that nobody has" n sbuild install /root/one.tar
check_equal "is the process's" 1234 "$(n stat -c %u "/proc/$(n systemctl show -P MainPID one)")"
n systemctl stop one
variant two worker "$own"
check_fails "another service gets it no more" 1 n sbuild install /root/two.tar
said 'is that of the service one'
n sbuild uninstall one >/dev/null 2>&1

# Root, which makes itself a user namespace: its health command gets no more by that.
variant nest root "$own d['harden']['namespaces'] = False; d['argv'] = ['/app/probe', 'nest', '/data/found.rights']
d['health']['command'] = 'test -e /data/found.rights && /app/probe rights >/data/health'"
check "root in a user namespace" n sbuild install /root/nest.tar
n sed 's/nnp [01]//; /^CapInh/d; /^mnt/d' /var/lib/nest/found.rights >service.rights
n sed 's/nnp [01]//; /^CapInh/d; /^mnt/d' /var/lib/nest/health >command.rights
check "a health command has what it had before" diff service.rights command.rights
check "which is not all" grep -qx 'CapBnd: 405fb' command.rights
check "it is filtered" grep -q 'seccomp 2' command.rights

# ---- numbers that are somebody else's by now ----

n sbuild uninstall nest >/dev/null 2>&1
variant again 1000:1000 pass
check "a service" n sbuild install /root/again.tar
id=$(n cat /etc/sbuild/ids/again)
n sbuild uninstall again >/dev/null 2>&1
check "has its number again" n sh -c "sbuild install /root/again.tar && test \$(cat /etc/sbuild/ids/again) = $id"
n sbuild uninstall again >/dev/null 2>&1
n sed -i "s/^sbuild-$id:x:$id:/eve:x:$id:/" /etc/passwd
check_fails "not when it is an account's" 1 n sbuild install /root/again.tar
said "the user number $id of again (/etc/sbuild/ids/again) is also that of eve"
n rm /etc/sbuild/ids/again
check "then it gets another one" n sh -c "sbuild install /root/again.tar && test \$(cat /etc/sbuild/ids/again) != $id"
n sbuild uninstall again >/dev/null 2>&1
n sed -i "/^eve:/d; \$a sbuild-$id:x:4242:4242::/:/bin/sh" /etc/passwd
n rm /etc/sbuild/ids/again
check "also when the account's name has another number" n sh -c "sbuild install /root/again.tar && test \$(cat /etc/sbuild/ids/again) != $id"
n sbuild uninstall again >/dev/null 2>&1
n sed -i "/^sbuild-$id:/d" /etc/passwd
n rm /etc/sbuild/ids/again
n setpriv --reuid "$id" --clear-groups sleep 1000 &
powerless="$powerless $!"
check "and when a process has it" n sh -c "sbuild install /root/again.tar && test \$(cat /etc/sbuild/ids/again) != $id"
