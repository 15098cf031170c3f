#!/bin/sh
# Health over a switch: when its time begins, how it is asked, how long it has to last; and what a service is
# given to run with: variables of the host, memory of others, starts without end.
. tests/e2e/node-service.lib
need gcc
root=$(node_root one)

# ---- a program for what no shell can do ----

# Says READY=1, and, told to stop, that it takes long; it doesn't end by itself. 30 s are enough for a test.
cat >extends.c <<'END'
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void say(const char *text) {
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	strncpy(to.sun_path, path ? path : "", sizeof to.sun_path - 1);
	if (path && *path == '@')
		to.sun_path[0] = '\0';
	if (!path || sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to,
			    (socklen_t)(sizeof to.sun_family + strlen(path))) < 0)
		perror("notify");
	close(fd);
}
static volatile sig_atomic_t told;
static void note(int sig) { told = sig; }

int main(void) {
	signal(SIGTERM, note);
	say("READY=1");
	while (!told)
		pause();
	for (int i = 0; i < 40; i++) {
		say("STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000");
		sleep(1);
	}
}
END
mkdir -p app
gcc -O2 -static -o app/extends extends.c 2>/dev/null || skip_all "no static programs can be made here"
cp extends.c app/
# An answer of HTTP for nc -e: what its argument says.
cat >app/answer <<'END'
#!/bin/sh
host=
while read -r line && [ "${#line}" -gt 1 ]; do
	case $line in [Hh]ost:*) host=${line#*: } ;; esac
done
host=${host%?}
case $1 in
slow) sleep 6; status="200 OK" ;;
moved) status="302 Found" ;;
"$host") status="200 OK" ;;
*) status="400 Bad Request" ;;
esac
printf 'HTTP/1.1 %s\r\nLocation: https://elsewhere.invalid/\r\nContent-Length: 0\r\n\r\n' "$status"
END
printf '#!/bin/sh\necho >/tmp/health\n/bin/busybox httpd -f -p 127.0.0.1:$PORT -h /tmp &\n%s\nwait\nwait\n' \
	"trap 'sleep 6; kill %1' TERM" >app/late
printf '#!/bin/sh\necho >/tmp/health\n/bin/busybox httpd -f -p 127.0.0.1:$PORT -h /tmp &\nsleep 4\n' >app/dies
chmod +x app/*
service() { # NAME VERSION PROGRAM LINE…
	cat >"$1.yaml" <<-END
		name: $1
		from: base.yaml
		tags: [semver]
		layers: [{name: app, copy: {from: app, to: /app}}]
		image: {repository: $REPOSITORY/$1, user: "1234:1234", workdir: /app, entrypoint: [$3]}
		service:
	END
	service=$1 version=$2
	shift 3
	for line; do echo "  $line" >>"$service.yaml"; done
	"$SBUILD" bundle "$service.yaml" --push --version "$version" >/dev/null 2>err || cat err
}
asked() { # NAME ARGUMENT-OF-ANSWER HEALTH
	asked_port=$(free_port)
	service "$1" 1.0.0 "/bin/busybox, nc, -ll, -p, \"$asked_port\", -e, /app/answer, \"$(echo "$2" | sed "s/PORT/$asked_port/")\"" \
		"port: $asked_port" "stop_timeout: 2s" "health: {http: /health, $3}"
}
took() { took=$((($(date +%s%N) - began) / 1000000)); }

boot_node one
# ---- when its time begins ----

PORT=$(free_port)
for version in 1.0.0 2.0.0; do
	service late "$version" /app/late "port: $PORT" "env: {PORT: \"$PORT\", V: $version}" 'stop_timeout: 20s' \
		'health: {http: /health, timeout: 3s, steady: 0s}'
done
check "a service that takes 6 s to stop" n sbuild install "$REPOSITORY/late:v1.0.0"
check "its successor has 3 s to be healthy" n sbuild install "$REPOSITORY/late:v2.0.0"
said "waiting for the old process to end (25.0 s at most)"
check "and so has the one before" n sbuild rollback late
for version in 1.0.0 2.0.0; do
	service extends "$version" /app/extends 'type: notify' 'stop_timeout: 2s' "env: {V: $version}" 'start_timeout: 5s' \
		'health: {steady: 0s}'
done
check "one that never ends by itself" n sbuild install "$REPOSITORY/extends:v1.0.0"
began=$(date +%s%N)
check "has a successor" n sbuild install "$REPOSITORY/extends:v2.0.0"
took
said "does not end, and is killed"
check "after its time to stop ($took ms)" test "$took" -lt 15000

# ---- how it is asked ----

asked slow slow 'timeout: 20s, steady: 0s'
check "an answer after 6 s" n sbuild install "$REPOSITORY/slow:v1.0.0"
asked slower slow 'timeout: 8s, answer: 2s'
check_fails "is too late where 2 s are allowed" 7 n sbuild install "$REPOSITORY/slower:v1.0.0"
said "no answer in its time"
asked moved moved 'timeout: 5s, steady: 0s'
check "a redirect to somewhere else is an answer" n sbuild install "$REPOSITORY/moved:v1.0.0"
asked named api.example.com 'timeout: 5s, steady: 0s, host: api.example.com'
check "one that answers to one name" n sbuild install "$REPOSITORY/named:v1.0.0"
asked local localhost:PORT 'timeout: 5s, steady: 0s'
check "one that answers to localhost" n sbuild install "$REPOSITORY/local:v1.0.0"
asked wrong other.example.com 'timeout: 2s'
check_fails "one that answers to another name" 7 n sbuild install "$REPOSITORY/wrong:v1.0.0"
said "answers 400"
PORT6=$(free_port)
service six 1.0.0 "/bin/busybox, httpd, -f, -p, \"[::1]:$PORT6\", -h, /app" "port: $PORT6" \
	'health: {http: /extends.c, timeout: 5s, steady: 0s}'
if n cat /proc/net/if_inet6 | grep -q ' lo$'; then
	check "one that listens on ::1 alone" n sbuild install "$REPOSITORY/six:v1.0.0"
else
	skip "there is no IPv6 on loopback here"
fi

# ---- how long it lasts ----

PORT4=$(free_port)
service dies 1.0.0 /app/dies "port: $PORT4" "env: {PORT: \"$PORT4\"}" 'health: {http: /health, timeout: 5s}'
check_fails "one that is gone after 4 s is no release" 7 n sbuild install "$REPOSITORY/dies:v1.0.0"
said "it was healthy, and is not any more"
check "status of one that is well" n sbuild status late
n systemctl stop late
check_fails "of one that isn't" 7 n sbuild status late
said "late is not healthy"
check "of all is a list" n sbuild status
n systemctl start late
"$SBUILD" bundle "late.yaml" --version 2.0.0 -o "$root/root/late.bundle.tar" >/dev/null 2>&1
check "no program for registries is needed to ask it" n env SBUILD_HTTP=/not/there sbuild install /root/late.bundle.tar --replace

# ---- what it runs with ----

check "started often, it is not refused" n sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do systemctl restart moved || exit; done'
n sh -c 'mkdir -p /etc/sbuild/secrets/keeps && echo x >/etc/sbuild/secrets/keeps/token'
service keeps 1.0.0 '/bin/sleep, "1000"' 'secrets: [token]' 'health: {steady: 0s}'
check "a service with a secret" n sbuild install "$REPOSITORY/keeps:v1.0.0"
n sh -c 'mv /etc/sbuild/secrets/keeps/token /root/token; systemctl restart keeps 2>/dev/null; sleep 1'
check_fails "without it, it does not run" 3 n systemctl is-active keeps
n mv /root/token /etc/sbuild/secrets/keeps/token
check "once it is there, it does" wait_for 20 n systemctl is-active keeps
check "what it took to come to that is no fault of its" n sbuild status keeps
n mkdir -p /etc/sbuild/environment
printf 'A=1\nPW=a\\b\n' >"$root/etc/sbuild/environment/vars.env"
service vars 1.0.0 '/bin/sh, -c, "env >/data/env; exec sleep 1000"' 'directories: {state: /data}' 'health: {command: "test -s /data/env", steady: 0s}'
check_fails "what systemd would read otherwise is refused" 1 n sbuild install "$REPOSITORY/vars:v1.0.0"
said "/etc/sbuild/environment/vars.env:2: has a"
check_fails "before anything is there" 4 n systemctl status -q vars
cat >variables <<'END'
# a comment
A=1
B = two words  
C='a\b "x" # $y'
D="a\"b\\c\$d\`e"
E=x#y$HOME
F=it's "so"
G="one
two"
H=
Ä=left out
END
grep -v left variables >"$root/etc/sbuild/environment/vars.env"
check "the others are read" n sbuild install "$REPOSITORY/vars:v1.0.0"
said 'every user of this host can read the variables in /etc/sbuild/environment/vars.env (chmod 600)'
check_equal "as they stand" "$(printf '%s\n' 'A=1' 'B=two words' 'C=a\b "x" # $y' 'D=a"b\c$d`e' 'E=x#y$HOME' "F=it's \"so\"" G=one two H=)" \
	"$(n sh -c 'for v in A B C D E F; do grep "^$v=" /var/lib/vars/env; done; grep -A 1 ^G= /var/lib/vars/env; grep ^H= /var/lib/vars/env')"
service shared 1.0.0 '/bin/sleep, "1000"' 'harden: {own_ids: false}' 'health: {steady: 0s}'
check "a service with its image's number" n sbuild install "$REPOSITORY/shared:v1.0.0"
id=$(n setpriv --reuid 1234 --regid 1234 --clear-groups ipcmk -M 4096 -p 0600 | grep -o '[0-9]*$')
n systemctl stop shared
check "leaves alone what a person has" n grep -qE " $id +600 " /proc/sysvipc/shm
