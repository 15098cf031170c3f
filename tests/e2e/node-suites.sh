#!/bin/sh
# Older and newer systemds: a service is installed, asked, upgraded, broken and rolled back on nodes of
# each Debian release there are roots of, and no systemd has anything to say to what sbuild wrote.
. tests/e2e/node-service.lib
need gcc
SERVICE_TIMEOUT=2s

# ---- the services: those that differ in what their units say ----

# Says READY=1 at $NOTIFY_SOCKET after some seconds, and serves nothing: "" never says it.
cat >notify.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (argc > 1) {
		sleep((unsigned)atoi(argv[1]));
		if (!path)
			return 10;
		strncpy(to.sun_path, path, sizeof to.sun_path - 1);
		if (*path == '@')
			to.sun_path[0] = '\0';
		if (sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&to,
			   (socklen_t)(sizeof to.sun_family + strlen(path))) != 7) {
			perror(path);
			return 11;
		}
	}
	for (;;)
		pause();
}
END
mkdir -p ready
gcc -O2 -static -o ready/notify notify.c 2>/dev/null || skip_all "no static programs can be made here"
special() { # NAME ARGUMENTS-OF-NOTIFY LINE…
	special=$1 arguments=$2
	shift 2
	cat >"$special.yaml" <<-END
		name: $special
		from: base.yaml
		version: 1.0.0
		tags: [semver]
		layers: [{name: app, copy: {from: ready, to: /app}}]
		image: {repository: $REPOSITORY/$special, user: "1234:1234", workdir: /app, entrypoint: [$arguments]}
		service:
		  stop_timeout: 3s
	END
	for line; do echo "  $line" >>"$special.yaml"; done
	"$SBUILD" bundle "$special.yaml" --push >/dev/null 2>err || cat err
}
special late '/app/notify, "1"' 'type: notify' 'limits: {memory: 100M, cpu: 1.5, tasks: 50, files: 500}'
special never '/app/notify' 'type: notify' 'start_timeout: 1s' 'health: {command: "true", timeout: 1s}'
special all '/bin/sh, -c, "cat $CREDENTIALS_DIRECTORY/token >/data/seen; echo >/cache/x; echo >/logs/x; exec sleep 1000"' \
	'gpu: [0]' 'secrets: [token]' 'directories: {state: /data, cache: /cache, logs: /logs}' 'after: [late]' \
	'health: {command: "grep -q sesame /data/seen", timeout: 3s, steady: 0s}'
special nightly '/bin/true' 'type: job' 'schedule: "*-*-* 03:00"'
special light '/bin/sh, -c, exec sleep 1000' 'root: host' 'directories: {state: /data}'
special free '/bin/sh, -c, exec sleep 1000' 'harden: {no_new_privileges: false, capabilities: false, protect_system: false, private_tmp: false,
    private_devices: false, protect_kernel: false, protect_processes: false, namespaces: false, address_families: false, system_calls: false, realtime: false}'
PORT=$(free_port)
make_service web "$PORT"
# As many layers as images have: their names take more than the 255 bytes that fsconfig(2) has for them.
mkdir -p n
for i in $(seq 10); do
	echo "$i" >"n/$i"
	sed -i "s|^layers: \[|&{name: l$i, copy: {from: n/$i, to: /n/}}, |" web.yaml
done
release web 1.0.0 >/dev/null 2>err
release web 1.1.0 >/dev/null 2>err
release web 1.2.0 broken >/dev/null 2>err

# ---- on each ----

n() { node_run "$suite" "$@"; }
answers() { check_equal "$suite: $1 answers" "$1" "$(ask "$PORT")"; }
installs() { # WHAT IT IS, NAME
	check "$suite: $1" n sbuild install "$REPOSITORY/$2:v1.0.0"
}
life() {
	check "$suite: install" n sbuild install "$REPOSITORY/web:v1.0.0"
	answers 1.0.0
	check "$suite: upgrade" n sbuild install "$REPOSITORY/web:v1.1.0"
	answers 1.1.0
	check_fails "$suite: a release that is not healthy" 7 n sbuild install "$REPOSITORY/web:v1.2.0"
	answers 1.1.0
	check "$suite: rollback" n sbuild rollback web
	answers 1.0.0
}
kinds() {
	n sh -c 'mkdir -p /etc/sbuild/secrets/all && echo sesame >/etc/sbuild/secrets/all/token'
	began=$(date +%s%N)
	installs "a service that says when it is ready" late
	check "$suite: is waited for" test $((($(date +%s%N) - began) / 1000000)) -ge 1000
	check_fails "$suite: one that never says so" 7 n sbuild install "$REPOSITORY/never:v1.0.0"
	check_fails "$suite: is taken away" 4 n systemctl status -q never
	installs "secrets, GPUs and directories" all
	check "$suite: what it wrote is the host's" n sh -c 'grep -q sesame /var/lib/all/seen && test -e /var/cache/all/x -a -e /var/log/all/x'
	installs "a timer" nightly
	check "$suite: it is due" n sh -c 'systemctl list-timers nightly.timer | grep -q 03:00'
	installs "the host's root" light
	installs "nothing hardened" free
	check "$suite: following a tag" n sbuild install "$REPOSITORY/web:v1.0.0" --auto --interval 1h
	check "$suite: with a timer" n systemctl is-active -q sbuild-auto-web.timer
}
# systemd writes what it doesn't understand to the journal, with file and line, and goes on.
complaints() {
	n journalctl -b --no-pager -o cat | grep -E '^/[^ ]*/(systemd|sysusers.d)/[^ ]*:[0-9]+: ' | grep /etc/ | sort -u || :
}
# It looks for programs in the host's root: docs/operations.md tells how it is shown a service's as well.
verify() {
	n sh -c 'cd /etc/systemd/system && systemd-analyze verify *.service *.timer *.mount 2>&1' >verified || :
	if [ "$suite_version" -ge 250 ]; then
		sed -nE 's/^([a-z0-9]+)\.service: Command .* is not executable: No such file or directory$/\1/p' verified >lacking
		while read -r service; do
			n sh -c 'mount -t overlay overlay -o "ro,lowerdir=$(ls -d /run/sbuild/$1/*):/" /mnt &&
				systemd-analyze verify --root=/mnt "$1.service" 2>&1; umount /mnt' sh "$service" </dev/null || :
		done <lacking
	fi
	grep -vE '^SYSTEMD_|Command /[^ ]* is not executable: No such file' verified || :
}
for root in node-bullseye node node-trixie; do
	"$TOP/ci/peers" has $root || { skip "there is no root $root (ci/peers setup $root)" && continue; }
	suite=$root
	boot_node "$suite" "$root"
	suite_version=$(n systemctl --version | sed -nE '1s/systemd ([0-9]+).*/\1/p')
	echo "$suite: systemd $suite_version"
	life
	kinds
	check_equal "$suite: systemd $suite_version has nothing to say" "" "$(complaints)"
	check_equal "$suite: nor has systemd-analyze verify" "" "$(verify)"
	kill_node "$suite"
done
