#!/bin/sh
# Bundles that somebody else wrote: valid in every digest, and hostile in what they say. Each is refused
# with nothing touched, or can't do what it is after.
. tests/e2e/node-service.lib
need gcc
boot_node one
root=$(node_root one)

# ---- an honest one, and what is made of it ----

cat >helper.c <<'END'
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
static void stay(const char *main_pid) {
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/notify"};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char text[200];
	signal(SIGTERM, SIG_IGN);
	for (;; sleep(1)) {
		int n = snprintf(text, sizeof text, "READY=1\nEXTEND_TIMEOUT_USEC=60000000\nFDSTORE=1\nMAINPID=%s\n", main_pid);
		sendto(fd, text, n, 0, (struct sockaddr *)&to, sizeof to);
	}
}
int main(int argc, char **argv) {
	if (argc > 2 && !strcmp(argv[1], "stay"))
		stay(argv[2]);
	if (argc > 2 && !strcmp(argv[1], "open"))
		return open(argv[2], O_RDONLY) < 0;
	if (argc == 1)
		return printf("%d\n", (int)geteuid()) < 0;
	for (;;)
		pause();
}
END
cat >evil.c <<'END'
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void) {
	close(open("/root/was-here", O_CREAT | O_WRONLY, 0644));
}
END
mkdir app
gcc -O2 -static -o app/helper helper.c 2>/dev/null || skip_all "no static programs can be made here"
gcc -shared -fPIC -o evil.so evil.c
cat >good.yaml <<-END
	name: good
	version: 1.0.0
	from: base.yaml
	layers: [{name: app, copy: {from: app, to: /app}}]
	tags: [semver]
	image: {user: "1234:1234", workdir: /app, entrypoint: [/app/helper, wait]}
	service: {stop_timeout: 2s, health: {timeout: 5s, steady: 0s, command: "true"}}
END
"$SBUILD" bundle good.yaml -o good.tar --units units >out 2>&1 || cat out
cp units/description.json good.tar.description.json

state() { # all that an installation may change
	n sh -c 'cd /etc && find systemd/system sysusers.d sbuild -type f -exec sha256sum {} + 2>/dev/null; find systemd/system
		ls -d /var/lib/* /opt/*; ls -lR /var/lib/sbuild/sbuild/services /var/lib/dpkg; mount | grep sbuild/' 2>/dev/null | sort
}
make_hostile() { "$TOP/tests/e2e/hostile-bundle" good.tar "$root/root/hostile.tar" "$1"; }
# Compared with `before`, which each section writes when all is as it should stay.
refused() { # WHAT STATUS MESSAGE STATEMENTS
	make_hostile "$4"
	check_fails "$1" "$2" n sbuild install /root/hostile.tar
	cp .check said
	check "$1: it says $3" sh -c 'grep -q -- "$1" said || { cat said && false; }' sh "$3"
	state >after
	check "$1: nothing is touched" diff before after
}
"$TOP/tests/e2e/hostile-bundle" good.tar "$root/root/hostile.tar"
check "the honest one, packed again" n sbuild install /root/hostile.tar
check "goes" n sbuild uninstall good
state >before

# ---- what it says ----

for name in ../../x x/../../etc/passwd .. a.. '' 'a\nb' 'a b' 'a%n' 'ssh@x' A "$(printf '%065d' 0)"; do
	refused "the name '$name'" 6 'name: ' "d['name'] = '$name'"
done
refused "a variable's name with a line" 6 'env: ' "d['env'] = {'A=1\nExecStartPre=/bin/x': 'y'}"
for place in /proc /proc/sys /dev /sys/fs/cgroup; do
	refused "data in the place of $place" 6 'directories: ' "d['directories']['state'] = '$place'"
done
refused "control characters in a value" 6 'env: ' "d['env'] = {'A': 'x\x1b[2J'}"
refused "a carriage return in a word" 6 'argv: ' "d['argv'] += ['a\rb']"
refused "a program with a prefix" 6 'argv: ' "d['argv'][0] = '+/bin/sh'"
refused "no program" 6 'argv: ' "d['argv'] = []"
refused "a user with more than a name" 6 'user: ' "d['user'] = 'root;reboot'"
refused "a user with a line" 6 'user: ' "d['user'] = '0:0\nExecStartPre=/bin/x'"
refused "a working directory elsewhere" 6 'workdir: ' "d['workdir'] = '/app/../../etc'"
refused "directories elsewhere" 6 'directories.state: ' "d['directories']['state'] = '/data/../../etc'"
refused "directories with an option" 6 'directories.state: ' "d['directories']['state'] = '/data:rbind /etc'"
refused "a secret elsewhere" 6 'secrets: ' "d['secrets'] = ['../../../etc/shadow']"
refused "a schedule with a line" 6 'schedule: ' "d['type'] = 'job'; d['restart'] = 'no'; d['schedule'] = 'daily\nUnit=x'"
refused "a version that joins lines" 6 'version: ' "d['version'] = '1\\\\\\\\'"
refused "a health path with a header" 6 'health.http: ' "d['port'] = 80; d['health'].update(http='/ HTTP/1.0\r\nX: y', command=None)"
refused "an upstream elsewhere" 6 'upstream: ' "d['upstream'] = '../../cron.d/x'"
for unit in poweroff.target storage-target-mode.target rescue.target multi-user.target default.target dev-sda2.swap x.automount \
	x.slice x@.service dbus; do
	refused "the start of $unit" 6 'a unit that a service may start' "d['requires'] = ['$unit']"
done
refused "hardening that is not known" 6 'seccomp' "d['harden']['seccomp'] = False"
refused "times that are none" 6 'is no number' "d['stopTimeout'] = -1"
refused "a key twice" 6 'duplicate' "text = json.dumps(d).encode().replace(b'{', b'{\"name\":\"other\",', 1)"
refused "a megabyte of brackets" 6 'description' "text = b'[' * 1000000"
refused "a megabyte of objects" 6 'description' "text = b'{\"a\":' * 200000"
refused "a description of 2 MB" 6 'is no file that a bundle has' "text = b' ' * 2000000 + json.dumps(d).encode()"
refused "no JSON" 6 'description' "text = b'\xff\xfe\x00'"
refused "no description" 6 'has no usr/lib' "text = b''"
refused "two descriptions" 6 'is no file that a bundle has' "last.append(entry(DIRECTORY + 'description.json', b'{}'))"
refused "a link for a description" 6 'is no file that a bundle has' \
	"text = b''; last.append(entry(DIRECTORY + 'description.json', type=tarfile.SYMTYPE, linkname='/etc/shadow'))"
refused "another file by a hard link" 6 'description' \
	"text = b''; last.append(entry(DIRECTORY + 'description.json', type=tarfile.LNKTYPE, linkname='etc/shadow'))"
refused "a last layer of 9 MB" 6 'the layer that describes' "last.append(entry('x', bytes(9 << 20)))"
refused "one that unpacks to a gigabyte" 6 'the layer that describes' \
	"import gzip; final = lambda m, c, data: gzip.compress(data + bytes(64 << 20) * 16, 1)"

# ---- what it has ----

refused "layers that it lacks" 6 'describes other layers' "d['layers'][0]['digest'] = d['layers'][0]['diffId'] = 'sha256:' + '0' * 64"
refused "more layers than it has" 6 'describes other layers' "d['layers'].insert(0, d['layers'][0])"
refused "fewer" 6 'describes other layers' "d['layers'].pop(0)"
refused "another image" 6 'describes another image' "d['image']['digest'] = 'sha256:' + '0' * 64"
refused "a layer of another content" 6 'diff\|content\|digest' \
	"layer(0, [entry('x', b'y')]); d['layers'][0]['diffId'] = c['rootfs']['diff_ids'][0] = 'sha256:' + '1' * 64"
refused "a layer that is larger than it says" 6 'more than\|larger\|size' \
	"layer(0, [entry('bin/busybox', bytes(5 << 20), 0o755)]); d['layers'][0]['tarSize'] = 10240"
refused "sizes beyond any disk" 1 'bytes are missing' "d['layers'][0]['tarSize'] = 2 ** 62; d['layers'][0]['diffId'] = c['rootfs']['diff_ids'][0] = 'sha256:' + '1' * 64"
refused "blobs beyond any disk" 1 'has no blob' "d['layers'][0]['size'] = m['layers'][0]['size'] = 2 ** 62"
refused "a path that climbs" 6 '\.\.' "layer(1, [entry('../../../../etc/cron.d/x', b'y')])"
refused "a hard link that climbs" 6 '\.\.' "layer(1, [entry('x', type=tarfile.LNKTYPE, linkname='../../../etc/shadow')])"
check_fails "nothing has left its place" 1 test -e "$root/etc/cron.d/x"

# ---- what belongs to others ----

printf '[Unit]\nDescription=Mine\n[Timer]\nOnCalendar=daily\nUnit=dbus.service\n' >"$root/etc/systemd/system/mine.timer"
printf '[Service]\nExecStart=/bin/true\n' >"$root/etc/systemd/system/web-green.service"
mkdir -p "$root/opt/tools/1" "$root/etc/sbuild/upstreams" "$root/etc/sbuild/directories"
echo 'server 127.0.0.1:1;' >"$root/etc/sbuild/upstreams/own.conf"
echo /etc/sbuild/upstreams/api.conf >"$root/etc/sbuild/directories/api"
check "systemd hears of them" n systemctl daemon-reload
state >before
refused "a unit of the system" 1 'dbus.service is a unit of this machine' "d['name'] = 'dbus'"
refused "a name that D-Bus starts" 1 'names that begin with dbus-' "d['name'] = 'dbus-org.freedesktop.login1'"
refused "units of sbuild itself" 1 "are sbuild's own" "d['name'] = 'sbuild-recover'"
refused "units of systemd" 1 "are systemd's own" "d['name'] = 'systemd-mine'"
refused "a name that has a socket waiting for it" 1 'syslog.socket of this machine speaks of a syslog.service' "d['name'] = 'syslog'"
refused "a name that the system is started with" 1 'graphical.target of this machine speaks of' "d['name'] = 'display-manager'"
refused "a name that others are started after" 1 'of this machine speaks of a auditd.service' "d['name'] = 'auditd'; d['after'] = ['ssh.service']"
for name in private journal extensions extensions.mutable containers; do
	refused "a directory that the system believes: $name" 1 'mean something to this host' "d['name'] = '$name'; d['directories']['state'] = '/data'"
done
refused "an upstream file of the administrator" 1 'own.conf is there already' \
	"d['name'] = 'web2'; d.update(strategy='blue-green', port=1025, sparePort=1026, upstream='own.conf')"
refused "that of a service that is away for a while" 1 'is that of the service api' \
	"d['name'] = 'web2'; d.update(strategy='blue-green', port=1025, sparePort=1026, upstream='api.conf')"
refused "a timer of the administrator" 1 'mine.timer is not a unit that sbuild wrote' "d['name'] = 'mine'"
refused "a unit of the administrator, as green" 1 'web-green.service is not a unit' \
	"d['name'] = 'web'; d.update(strategy='blue-green', port=1025, sparePort=1026, upstream='web.conf')"
refused "the package manager's data" 1 '/var/lib/dpkg is there already' "d['name'] = 'dpkg'; d['directories']['state'] = '/data'"
refused "sbuild's own" 1 'mean something to this host' "d['name'] = 'sbuild'; d['directories']['state'] = '/data'"
refused "what lies in /opt" 1 '/opt/tools is there already' "d['name'] = 'tools'; d['root'] = 'host'"
mkdir -p "$root/var/lib/adopted" "$root/etc/sbuild/directories"
echo kept >"$root/var/lib/adopted/file"
echo /var/lib/adopted >"$root/etc/sbuild/directories/adopted"
make_hostile "d['name'] = 'adopted'; d['directories']['state'] = '/data'"
check "data that the administrator gave it" n sbuild install /root/hostile.tar
check "it has them" n grep -q kept /var/lib/adopted/file
check "goes" n sbuild uninstall adopted
make_hostile "d['name'] = 'own'; d['directories']['state'] = '/data'"
check "a directory of its own" n sbuild install /root/hostile.tar
check "goes, but for its data" n sbuild uninstall own
check "which are its own when it comes again" n sbuild install /root/hostile.tar
check "goes again" n sbuild uninstall own

# ---- what it may have started ----

printf '[Service]\nExecStart=/bin/sleep 1000000\n[Install]\nWantedBy=multi-user.target\n' >"$root/etc/systemd/system/there.service"
printf '[Service]\nExecStart=/bin/sleep 1000000\n' >"$root/etc/systemd/system/by-hand.service"
printf '[Service]\nType=oneshot\nExecStart=/bin/touch /root/was-here\n[Install]\nWantedBy=multi-user.target\n' \
	>"$root/etc/systemd/system/once.service"
ln -sf /lib/systemd/system/debug-shell.service "$root/etc/systemd/system/friendly.service"
check "services of the administrator" n sh -c 'systemctl daemon-reload && systemctl enable --now there && systemctl enable once && systemctl start by-hand'
state >before
for unit in debug-shell.service friendly.service rescue.service emergency.service systemd-poweroff.service systemd-soft-reboot.service \
	modprobe@loop.service getty@tty9.service autovt@tty9.service user@0.service by-hand.service once.service sbuild-auto-x.service; do
	n systemctl cat "$unit" >/dev/null 2>&1 || continue
	refused "the start of $unit" '[16]' "requires $unit, which would start it\|a unit that a service may start" "d['requires'] = ['$unit']"
done
check_fails "none was started" 1 test -e "$root/root/was-here"
for unit in dbus.service dbus.socket there.service network-online.target dev-mqueue.mount; do
	make_hostile "d['requires'] = ['$unit']"
	check "what runs without it: $unit" n sbuild install /root/hostile.tar
	n sbuild uninstall good >/dev/null 2>&1
done
mkdir -p "$root/etc/sbuild/requires"
echo by-hand.service >"$root/etc/sbuild/requires/good"
make_hostile "d['requires'] = ['by-hand.service']"
check "what the operator allows" n sbuild install /root/hostile.tar
make_hostile "d['name'] = 'second'; d['requires'] = ['good.service']; d['after'] = ['good.service']"
check "another service of sbuild" n sbuild install /root/hostile.tar
rm "$root/etc/sbuild/requires/good"
n systemctl stop by-hand
make_hostile "d['requires'] = ['by-hand.service']; d['env'] = {'A': 'b'}"
check "what the release before had already" n sbuild install /root/hostile.tar
make_hostile "d['after'] = ['second.service']"
check_fails "two that wait for one another" 1 n sbuild install /root/hostile.tar
said 'good is to be started after second.service'
make_hostile "d['name'] = 'third'; d['after'] = ['good.service']"
check "one that waits for one of them" n sbuild install /root/hostile.tar
n sbuild uninstall second >/dev/null 2>&1
make_hostile "d['name'] = 'second'; d['after'] = ['third.service']"
check "and one that waits for it" n sbuild install /root/hostile.tar
make_hostile "d['after'] = ['second.service']"
check_fails "three that wait for one another" 1 n sbuild install /root/hostile.tar
said 'good is to be started after second.service'
# At boot systemd leaves out what it likes of a circle: here units of the host could be in it.
printf '[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' >"$root/etc/systemd/system/late.service"
printf '[Unit]\nAfter=late.service\n' >"$root/etc/systemd/system/later.target"
n sh -c 'systemctl daemon-reload; systemctl enable --now late'
for unit in late.service later.target graphical.target; do
	make_hostile "d['after'] = ['$unit']"
	check_fails "after $unit, which comes after all services" 1 n sbuild install /root/hostile.tar
	said "good is to be started after $unit, and that after"
done
make_hostile "d['after'] = ['multi-user.target']"
check_fails "after all services, of which one waits for it" 1 n sbuild install /root/hostile.tar
for service in second third; do check "$service goes" n sbuild uninstall $service; done
make_hostile "d['after'] = ['multi-user.target', 'dbus.service', 'network.target', 'is-not-there.service']"
check "after what does not" n sbuild install /root/hostile.tar
n sh -c 'systemctl disable --now late; rm /etc/systemd/system/late.service /etc/systemd/system/later.target; systemctl daemon-reload'
check "good goes" n sbuild uninstall good
n systemctl stop there once
n rm /etc/systemd/system/once.service /etc/systemd/system/there.service /etc/systemd/system/by-hand.service /etc/systemd/system/friendly.service
n sh -c 'rm -f /root/was-here; systemctl daemon-reload'
# A name that only the administrator's own units speak of is what they wait for.
printf '[Unit]\nAfter=awaited.service\n[Service]\nExecStart=/bin/true\n' >"$root/etc/systemd/system/waits.service"
n sh -c 'systemctl daemon-reload; systemctl start waits'
make_hostile "d['name'] = 'awaited'"
check "what an administrator waits for" n sbuild install /root/hostile.tar
check "goes" n sbuild uninstall awaited
make_hostile "d['name'] = 'syslog'"
check "a name that the operator wants" n sbuild install /root/hostile.tar --name syslog
check "goes" n sbuild uninstall syslog

# ---- what it can't do ----

# The health command says what the service can do: who fails is not healthy.
harmless() { # WHAT COMMAND STATEMENTS
	make_hostile "d['health']['command'] = '''$2'''; $3"
	check "$1" n sbuild install /root/hostile.tar
	[ -z "${4:-}" ] || check "$1: $4" n sh -c "$5"
	n sbuild uninstall good >/dev/null 2>&1
}
busybox="open('$T/rootfs/bin/busybox', 'rb').read()"
helper="open('$T/app/helper', 'rb').read()"
harmless "units of its own are not looked at" true \
	"last.append(entry(DIRECTORY + 'units/good.service', b'[Service]\nExecStart=/bin/touch /root/was-here\n'))" \
	"the unit is the node's" "grep -q helper /etc/systemd/system/good.service && ! test -e /root/was-here"
harmless "values with all that units know" 'test "$A" = "$(cat /app/value)"' \
	"v = 'x\ny %n %% \$HOME \${HOME} \\\\ \"q\" \'s\' ; # \\\\'
d['env'] = {'A': v}; layer(1, [entry('app/helper', $helper, 0o755), entry('app/value', v.encode())])"
harmless "setuid programs" 'test "$(/app/suid)" -ge 1879048192' \
	"d['harden']['no_new_privileges'] = True; layer(1, [entry('app/suid', $helper, 0o4755), entry('app/helper', $helper, 0o755)])"
harmless "devices" '! /app/helper open /app/disk && ! /app/helper open /app/memory' \
	"layer(1, [entry('app/helper', $helper, 0o755), entry('app/disk', type=tarfile.BLKTYPE, mode=0o666, devmajor=254, devminor=0),
entry('app/memory', type=tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=5)])"
harmless "links out of its root" 'test ! -e /data/shadow && test -d /data' \
	"d['directories']['state'] = '/data'; layer(1, [entry('app/helper', $helper, 0o755), entry('data', type=tarfile.SYMTYPE, linkname='../../../../../../etc'),
entry('etc/resolv.conf', type=tarfile.SYMTYPE, linkname='/proc/1/root/root/x')])"
harmless "files behind a link" true \
	"d['root'] = 'host'; d['user'] = ''; d['workdir'] = '/app'; layer(1, [entry('app/helper', $helper, 0o755),
entry('out', type=tarfile.SYMTYPE, linkname='/etc'), entry('out/was-here', b'x'), entry('up', type=tarfile.SYMTYPE, linkname='../../..'), entry('up/was-here', b'x')])" \
	"stay below theirs" '! test -e /etc/was-here && ! test -e /was-here'
harmless "the light variant's files" true \
	"d['root'] = 'host'; d['user'] = ''; d['workdir'] = '/app'; layer(1, [entry('app/suid', $helper, 0o6755), entry('app/helper', $helper, 0o755),
entry('app/disk', type=tarfile.BLKTYPE, mode=0o666, devmajor=254, devminor=0)])" \
	"no setuid, no devices" 'test -x /opt/good/*/app/suid && test -z "$(find /opt/good -perm /6000 -o -type b)"'

# A place that is missing is made by systemd, through links, and in a directory of the host if it is shown there.
mkdir -p "$root/srv/models" "$root/etc/sbuild/host-directories" "$root/var/lib/good"
echo /srv >"$root/etc/sbuild/host-directories/good"
echo /var/lib/good >"$root/etc/sbuild/directories/good"
ln -s /models/new "$root/var/lib/good/link"
make_hostile "d['name'] = 'beside'"
check "one beside it" n sbuild install /root/hostile.tar
state >before
shown="d['directories']['host'] = {'/srv/models': '/models'}"
linked() { # WHAT LINK TARGET STATEMENTS
	refused "$1" 1 "leads to $3 and lies in " \
		"$shown; ${4:-pass}; layer(1, [entry('app/helper', $helper, 0o755), entry('$2', type=tarfile.SYMTYPE, linkname='$3')])"
}
linked "data that a link leads to the host's" d /models/x "d['directories']['state'] = '/d'"
linked "a volume that does" d /models/x "d['volumes'] = ['/d']"
for place in etc/resolv.conf etc/hosts tmp run proc dev; do
	linked "/$place in the host's by a link" $place /models/x
	linked "/$place in data by a link" $place /d/link "d['directories']['state'] = '/d'"
done
refused "a volume in data, where the service may have a link" 1 '/d/link of good lies in /d' "$shown; d['directories']['state'] = '/d'; d['volumes'] = ['/d/link']"
refused "a volume in a volume" 1 '/d/link of good lies in /d' "$shown; d['volumes'] = ['/d', '/d/link']"
refused "data in the place of /etc" 1 '/etc/resolv.conf of good lies in /etc' "$shown; d['directories']['state'] = '/etc'"
refused "data in the place of /run" 1 '/run/systemd of good lies in /run' "$shown; d['directories']['state'] = '/run'"
make_hostile "$shown; d['directories']['state'] = '/d'; d['volumes'] = ['/e', '/tmp/v']"
check "places side by side" n sbuild install /root/hostile.tar
check_equal "nothing is made in the host's" "" "$(n ls -A /srv/models)"
check "goes" n sbuild uninstall good
mkdir -p "$root/etc/systemd/system/good.service.d"
printf '[Service]\nBindPaths=/srv/models:/models\n' >"$root/etc/systemd/system/good.service.d/models.conf"
state >before
shown=pass
linked "a link to what a drop-in shows" etc/resolv.conf /models/x
rm -r "$root/etc/systemd/system/good.service.d" "$root/var/lib/good"
check "the one beside it goes" n sbuild uninstall beside

# A health command is started by root: nothing of the service may reach it before it is the service's user.
mkdir -p "$root/var/lib/good"
cp evil.so "$root/var/lib/good/evil.so"
echo /var/lib/good >"$root/etc/sbuild/directories/good"
harmless "a library for who asks" 'test -e /var/lib/good/evil.so' \
	"d['directories']['state'] = '/data'; d['env'] = {'LD_PRELOAD': '/var/lib/good/evil.so'}" \
	"was not loaded on the host" "! test -e /root/was-here"
harmless "a command is its user's" 'test "$(/app/helper)" -ge 1879048192' ""
harmless "a command that leaves something behind" 'grep -q good.service /proc/self/cgroup && { sleep 1000 & true; }' "" \
	"it belongs to the service" 'systemctl status good | grep -q "sleep 1000"'
harmless "root's command" '! mknod /tmp/x b 254 0 && ! mount -t tmpfs x /tmp' "d['user'] = ''"

# systemd waits for who asks it to, and takes another process for the service's only from root.
victim=$(n systemctl show -P MainPID dbus)
make_hostile "d['type'] = 'notify'; d['stopTimeout'] = 1; d['argv'] = ['/app/helper', 'stay', '$victim']"
check "a service that does not want to end" n sbuild install /root/hostile.tar
check "is not another's process" test "$(n systemctl show -P MainPID good)" != "$victim"
check "ends, in its time and a little" n timeout 20 sbuild uninstall good
check_equal "and nobody else" "$victim" "$(n systemctl show -P MainPID dbus)"

# Of what it answers at its health only the status is wanted, and nobody waits for ever.
port=$(free_port)
answering() { # WHAT STATUS SCRIPT
	make_hostile "d['port'] = $port; d['health'].update(http='/', command=None, timeout=3); d['argv'] = ['/bin/nc', '-ll', '-p', '$port', '-e', '/app/answer']
layer(1, [entry('app/answer', b'#!/bin/sh\nwhile read -r line && [ \${#line} -gt 1 ]; do :; done\n$3\n', 0o755)])"
	began=$(date +%s)
	check_fails "an answer that $1" "$2" n timeout 60 sbuild install /root/hostile.tar
	check "an answer that $1 keeps nobody" test $(($(date +%s) - began)) -lt 30
	n sbuild uninstall good >/dev/null 2>&1
}
answering "never ends" 0 'printf "HTTP/1.1 200 OK\\\\r\\\\n\\\\r\\\\n"; exec cat /dev/zero'
answering "never ends, and says that it is ill" 7 'printf "HTTP/1.1 500 No\\\\r\\\\n\\\\r\\\\n"; exec cat /dev/zero'
answering "comes slowly" 7 'while :; do printf H; sleep 0.2; done'
answering "has endless headers" 0 'printf "HTTP/1.1 200 OK\\\\r\\\\n"; while :; do echo "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; done'
answering "leads elsewhere, where nobody follows," 0 'printf "HTTP/1.1 302 Found\\\\r\\\\nLocation: http://169.254.169.254/\\\\r\\\\nContent-Length: 0\\\\r\\\\n\\\\r\\\\n"'
