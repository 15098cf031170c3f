#!/bin/sh
# What goes wrong beside a command: its process is killed and nobody comes back to it; the disk fills up
# while it works.
. tests/e2e/node-service.lib
PORT=$(free_port)
SERVICE_TIMEOUT=3s
make_service web "$PORT"
web=$REPOSITORY/web
release web 1.0.0 >/dev/null 2>err
release web 2.0.0 >/dev/null 2>err
release web 3.0.0 broken >/dev/null 2>err
boot_node one
root=$(node_root one)
n sbuild install "$web:v1.0.0" >/dev/null 2>err
answers() { [ "$(ask "${2:-$PORT}")" = "$1" ]; }
generation() { n sbuild status web --json | jq -r '.services[0].generation'; }
units() { n sh -c 'ls -A /etc/systemd/system | grep -E "^\.|web" || :'; }

# ---- killed after the switch, and nobody comes back ----

# Until the unit file names another generation; then the command is killed.
kill_after_switch() { # NAME COMMAND…
	unit=/etc/systemd/system/$1.service
	was=$(n grep -s Generation= "$unit" || :)
	shift
	n sh -c 'echo $$ >/run/victim; exec sbuild "$@"' sh "$@" >out 2>&1 &
	job=$!
	n sh -c 'until now=$(grep -s Generation= "$1") && [ "$now" != "$2" ]; do :; done; kill -KILL $(cat /run/victim)' sh "$unit" "$was"
	wait $job 2>/dev/null || :
}
unfinished() { n test -e "/var/lib/sbuild/sbuild/services/$1/operation.json"; }
finished() { ! unfinished "$1"; }
watches() { n systemctl is-active -q "sbuild-recover@$1.service"; }
rests() { ! watches "$1"; }

# If other tests have the processors, once more: the time is for what nobody else does.
for _ in 1 2 3; do
	kill_after_switch web install "$web:v3.0.0"
	check "the command was killed half-way" unfinished web
	check "somebody watches" watches web
	began=$(date +%s)
	check "without any command, all is in order again" wait_for 30 finished web
	took=$(($(date +%s) - began))
	[ "$took" -gt 8 ] || break
done
check "within its time for health, and what systemd takes ($took s)" test "$took" -le 8
check "the generation before serves" wait_for 10 answers 1.0.0
check_equal "the one before is current" 1 "$(generation)"
check "the failure is recorded" n sh -c 'sbuild status web | grep -q "generation [2-4] failed"'
check "the watch ends" wait_for 20 rests web
check_equal "no unit failed" "" "$(n systemctl --failed --plain --no-legend)"

# Several at once, and one whose watch is killed too.
PORT2=$(free_port)
make_service web2 "$PORT2"
release web2 1.0.0 >/dev/null 2>err
release web2 3.0.0 broken >/dev/null 2>err
n sbuild install "$REPOSITORY/web2:v1.0.0" >/dev/null 2>err || cat err
kill_after_switch web install "$web:v3.0.0"
kill_after_switch web2 install "$REPOSITORY/web2:v3.0.0"
n systemctl kill -s KILL sbuild-recover@web2.service || :
for name in web web2; do
	check "the one before $name" wait_for 40 finished $name
	check_equal "is healthy" healthy "$(n sbuild status $name --json | jq -r '.services[0].health')"
done
check_equal "both serve again" "1.0.0 1.0.0" "$(served "$PORT") $(served "$PORT2")"
n sbuild uninstall web2 >/dev/null 2>err || cat err

# A good release: it is waited for, and not started again.
kill_after_switch web install "$web:v2.0.0"
check "a good release that was half-way is finished" wait_for 40 finished web
check_equal "it serves" 2.0.0 "$(ask "$PORT")"
wait_for 20 rests web || :
# Some machines' control groups cannot be read while they end, whatever unit it is.
heard() { n journalctl -q -u sbuild-recover@web.service -o cat | grep -v 'Failed to kill control group' || :; }
watch_said() { heard >journal && grep -q 'put in order first' journal; }
check "what the watch did is in the journal" wait_for 20 watch_said
n sbuild rollback web 1 >/dev/null 2>err || cat err
wait_for 20 rests web || :
heard >after
check "a command that ends normally leaves no line there" diff journal after

# ---- a disk that fills up ----

# A store of its own, which takes more for many small files than their tar does.
n mkdir -p /mnt/small
n mount -t tmpfs -o size=44m,nr_inodes=40000 tmpfs /mnt/small
small() { n sbuild "$@" --store /mnt/small/store; }
free_bytes() { n stat -f -c '%a %S' /mnt/small | awk '{ print $1 * $2 }'; }
services() { n sh -c 'ls -A /mnt/small/store/sbuild/services/* /etc/systemd/system | grep -v recover'; }
make_service full "$PORT2"
release full 1.0.0 >/dev/null 2>err
check "a service in a small store" small install "$REPOSITORY/full:v1.0.0"
n sbuild uninstall nobody >/dev/null 2>&1 || :
process=$(n systemctl show -P MainPID full)
process2=$(n systemctl show -P MainPID web)
services >before
free=$(free_bytes)
python3 -c 'import os
os.mkdir("full/many")
for i in range(12000): open(f"full/many/{i}", "w").write("x")'
release full 2.0.0 >/dev/null 2>err
check_fails "a release that takes more than it says" 1 small install "$REPOSITORY/full:v2.0.0"
said 'full: the disk is full: .*/mnt/small/store.*No space left'
said 'bytes are free now, and it says that it needs'
services >after
check "nothing of it is there" diff before after
check_equal "the one before was not touched" "$process 1.0.0" "$(n systemctl show -P MainPID full) $(ask "$PORT2")"
left=$(free_bytes)
check "the space is given back ($free bytes were free, $left are)" test $((left + 200000)) -ge "$free"
rm -r full/many

# Somebody else takes the room while a layer comes: whose registry waits in the middle of it.
head -c 12000000 /dev/urandom >full/large
release full 2.1.0 >/dev/null 2>err
rm full/large
cat >slow.py <<-'END'
	import http.client, http.server, os, sys, time
	registry, started, go = sys.argv[1:4]
	class Slow(http.server.BaseHTTPRequestHandler):
	    def do_GET(self):
	        connection = http.client.HTTPConnection(registry)
	        connection.request(self.command, self.path, headers={n: v for n, v in self.headers.items() if n != "Host"})
	        answer = connection.getresponse()
	        body = answer.read()
	        self.send_response(answer.status)
	        for name, value in answer.getheaders():
	            if name not in ("Connection", "Date", "Transfer-Encoding"):
	                self.send_header(name, value)
	        self.end_headers()
	        if len(body) > 1000000:
	            self.wfile.write(body[:4096])
	            self.wfile.flush()
	            open(started, "w")
	            while not os.path.exists(go):
	                time.sleep(0.02)
	            body = body[4096:]
	        self.wfile.write(body)
	    do_HEAD = do_GET
	    def log_message(self, *args):
	        pass
	server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
	print(server.server_port, flush=True)
	server.serve_forever()
END
python3 slow.py "$REGISTRY" "$T/started" "$T/go" >slow.port 2>slow.err &
slow=$!
cleanup() { kill "$slow" 2>/dev/null || :; }
wait_for 10 test -s slow.port
small install "127.0.0.1:$(cat slow.port)/team/full:v2.1.0" --name full --replace >out 2>&1 &
job=$!
check "a layer is coming" wait_for 20 test -e started
n dd if=/dev/zero of=/mnt/small/other bs=1M count=36 2>/dev/null
: >go
status=0
wait $job || status=$?
cp out .check
check_equal "the disk filled up while it came" 1 "$status"
said 'full: the disk is full: .*/mnt/small/store.*No space left'
n rm /mnt/small/other
services >after
check "nothing of it is there" diff before after
check_equal "the one before was not touched" "$process 1.0.0" "$(n systemctl show -P MainPID full) $(ask "$PORT2")"
left=$(free_bytes)
check "the space is given back ($free bytes were free, $left are)" test $((left + 200000)) -ge "$free"

# No room for unit files: on a file system of their own, which is filled but for some pages.
n sh -c 'cp -a /etc/systemd/system /root/units && mount -t tmpfs -o size=1m tmpfs /etc/systemd/system && cp -a /root/units/. /etc/systemd/system/'
release full 2.2.0 >/dev/null 2>err
units >before
for pages in 0 1; do
	n sh -c 'cd /etc/systemd/system && dd if=/dev/zero of=filler bs=4k 2>/dev/null; truncate -s "-$(($1 * 4096))" filler' sh $pages
	check_fails "no room for unit files, but for $pages pages" 1 n sbuild install "$web:v2.0.0" --name web
	said 'web: the disk is full: .*/etc/systemd/system/.*No space left'
	n rm /etc/systemd/system/filler
	units >after
	check "nothing of it is there" diff before after
	check "nothing is under way" finished web
	check_equal "the one before was not touched" "$process2 1.0.0" "$(n systemctl show -P MainPID web) $(ask "$PORT")"
done
n umount /etc/systemd/system
n systemctl daemon-reload

# No room for the record.
PORT3=$(free_port)
make_service late "$PORT3"
release late 1.0.0 >/dev/null 2>err
small install "$REPOSITORY/late:v1.0.0" >/dev/null 2>err || cat err
sed -i "s|entrypoint: .*|entrypoint: [/bin/busybox, sh, -c, 'sleep 2; exec httpd -f -p $PORT3 -h /app']|" late.yaml
release late 2.0.0 >/dev/null 2>err
process_of() { n systemctl show -P MainPID "$1"; }
replaced() { now=$(process_of late) && [ "$now" != 0 ] && [ "$now" != "$process" ]; }
fill() { n sh -c 'dd if=/dev/zero of=/mnt/small/other bs=4k 2>/dev/null || :'; }
process=$(process_of late)
small install "$REPOSITORY/late:v2.0.0" >out 2>&1 &
job=$!
check "it was switched to" wait_for 20 replaced
fill
status=0
wait $job || status=$?
cp out .check
check_equal "there is no room for the record of a healthy release" 1 "$status"
said 'the record of generation 2 of late: .*No space left'
check_equal "it serves all the same" 2.0.0 "$(ask "$PORT3")"
process=$(process_of late)
n rm /mnt/small/other
check "the next command finishes it" small install "$REPOSITORY/late:v2.0.0"
check_equal "and starts nothing again" "$process" "$(process_of late)"
check_equal "it is recorded" healthy "$(small status late --json | jq -r '.services[0].generations[-1].state')"
release late 3.0.0 broken >/dev/null 2>err
small install "$REPOSITORY/late:v3.0.0" >out 2>&1 &
job=$!
check "a broken one was switched to" wait_for 20 replaced
fill
status=0
wait $job || status=$?
n rm /mnt/small/other
cp out .check
check_equal "it is taken back without room for a record" 7 "$status"
said 'this is not recorded: .*No space left'
check_equal "the one before serves" 2.0.0 "$(ask "$PORT3")"
