#!/bin/sh
# What a host changes under its services: resolver, names, certificates, time zone, host name, clock, accounts, the
# order of a boot. Every generation starts, is restarted and gone back to all the same. (Drivers: node-driver.sh;
# devices: node-devices.sh; directories: node-directories.sh.)
. tests/e2e/node-service.lib
need gcc
boot_node one
PORT=$(free_port)
make_service app "$PORT"
# One more image, whose own files lead to where a resolver of its distribution would have them, or nowhere.
mkdir -p links/etc
ln -s ../run/systemd/resolve/stub-resolv.conf links/etc/resolv.conf
ln -s /var/lib/none/hosts links/etc/hosts
LINKS=$(free_port)
make_service linked "$LINKS"
sed -i 's|^layers: \[|&{name: links, copy: {from: links, to: /}}, |' linked.yaml
for version in 1.0.0 1.1.0; do release app $version >/dev/null 2>err || cat err; done
release linked 1.0.0 >/dev/null 2>err || cat err
inside() { # SERVICE COMMAND…
	inside_pid=$(n systemctl show -P MainPID "$1")
	shift
	n chroot "/proc/$inside_pid/root" "$@"
}
n sh -c 'echo "nameserver 192.0.2.1" >/etc/resolv.conf'
for version in 1.0.0 1.1.0; do check "release $version" n sbuild install "$REPOSITORY/app:v$version"; done
check "an image with links in /etc" n sbuild install "$REPOSITORY/linked:v1.0.0"

# All of it, from whichever generation runs: a restart, back, forwards.
goes_on() { # WHAT
	check "$1: a restart" n systemctl restart app linked
	check "$1: back" n sbuild rollback app
	check "$1: and forwards" n sbuild rollback app 2
	check_equal "$1: it serves" "1.1.0 1.0.0" "$(served "$PORT") $(served "$LINKS")"
}
resolver() { inside "$1" /bin/cat /etc/resolv.conf 2>&1 | sed 's/^nameserver //'; }

# ---- the resolver ----

check_equal "the host's resolver is theirs" "192.0.2.1 192.0.2.1" "$(resolver app) $(resolver linked)"
n sh -c 'echo "nameserver 192.0.2.2" >/etc/resolv.new && mv /etc/resolv.new /etc/resolv.conf'
check_equal "one that comes by a rename is not seen by what runs" 192.0.2.1 "$(resolver app)"
goes_on "resolv.conf by a rename"
check_equal "and is, from the next start on" "192.0.2.2 192.0.2.2" "$(resolver app) $(resolver linked)"
n sh -c 'mkdir -p /run/systemd/resolve && echo "nameserver 127.0.0.53" >/run/systemd/resolve/stub-resolv.conf && ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf'
goes_on "resolv.conf as a link"
check_equal "what it leads to" "127.0.0.53 127.0.0.53" "$(resolver app) $(resolver linked)"
n rm /run/systemd/resolve/stub-resolv.conf
goes_on "a link to nothing"
n rm -f /etc/resolv.conf /etc/hosts
goes_on "neither resolv.conf nor hosts"
n sh -c 'echo "nameserver 192.0.2.3" >/etc/resolv.conf; echo 127.0.0.1 localhost >/etc/hosts'

# ---- certificates, time zone, host name, accounts ----

n rm -rf /etc/ssl /usr/share/ca-certificates
n umount /etc/localtime 2>/dev/null || : # systemd-nspawn's
n sh -c 'ln -sf /usr/share/zoneinfo/Asia/Tokyo /etc/localtime; echo other >/etc/hostname; hostname other 2>/dev/null || :'
goes_on "no certificates, another time zone and name"
check_equal "the time zone is the image's" UTC "$(inside app /bin/date +%Z)"
user=$(n systemctl show -P User app)
n sh -c "sed -i '/^sbuild-/d' /etc/passwd /etc/group /etc/shadow /etc/gshadow"
kill_node one
boot_node one
for service in app linked; do
	check "accounts that were lost: $service again" n sbuild install "$REPOSITORY/$service:$([ $service = app ] && echo v1.1.0 || echo v1.0.0)"
done
check "accounts that were lost, and a boot: back" n sbuild rollback app
check_equal "they serve" "1.0.0 1.0.0" "$(served "$PORT") $(served "$LINKS")"
check_equal "it runs as the same user" "$user" "$(n systemctl show -P User app)"

# ---- the clock ----

# For sbuild alone: a clock of a year ago, as after a battery that ran out.
cat >back.c <<'END'
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *out) {
	int rc = (int)syscall(SYS_clock_gettime, clock, out);
	if (rc == 0 && clock == CLOCK_REALTIME)
		out->tv_sec -= 366 * 86400;
	return rc;
}
time_t time(time_t *out) {
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}
END
gcc -shared -fPIC -o "$(node_root one)/root/back.so" back.c
# What is preloaded into it has to find a C library outside of it.
cp "$TOP/${SB_BUILD:-build/release}/tests/sbuild-shared" "$(node_root one)/root/sbuild"
back() { n env LD_PRELOAD=/root/back.so PATH=/root:/usr/bin:/usr/sbin SBUILD_HTTP=/opt/sbuild/sbuild-http "$@"; }
check_equal "sbuild sees it" "$(($(date +%Y) - 1))" "$(back date +%Y | sed "s/$(($(date +%Y) - 2))/$(($(date +%Y) - 1))/")"
release app 1.2.0 >/dev/null 2>err || cat err
check "and does so" sh -c 'nm -D "$1" | grep -q "U clock_gettime"' sh "$(node_root one)/root/sbuild"
check "a clock that was set back: a release" back sbuild install "$REPOSITORY/app:v1.2.0"
check "back" back sbuild rollback app
check_equal "to the one before" 1.1.0 "$(served "$PORT")"
release app 1.3.0 broken >/dev/null 2>err || cat err
check_fails "a broken release" 7 back sbuild install "$REPOSITORY/app:v1.3.0"
check_equal "is undone" 1.1.0 "$(served "$PORT")"
check "status" back sbuild status app
check "prune" back sbuild prune
goes_on_with=$(n sbuild status app --json | jq '[.services[0].generations[] | select(.state == "healthy")] | length')
check_equal "no generation is taken for old" 3 "$goes_on_with"

# ---- the order of a boot ----

# The store on a file system of its own, which comes late.
n sh -c 'mkdir -p /etc/systemd/system/var-lib-late.mount.d; printf "[Unit]\nDescription=late\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 2\n[Install]\nWantedBy=multi-user.target\n" >/etc/systemd/system/late.service
	mkdir -p /etc/systemd/system/app.service.d; printf "[Unit]\nRequires=late.service\nAfter=late.service\n" >/etc/systemd/system/app.service.d/late.conf; systemctl daemon-reload'
kill_node one
boot_node one
check "one that waits for another at boot" wait_for 30 ask "$PORT"
check "and one that does not" wait_for 30 ask "$LINKS"
