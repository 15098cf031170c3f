#!/bin/sh
# Strategy blue-green on a node: one start a release, nobody waits and nothing is cut short, one name for
# two units, reboots, other ports, other strategies.
. tests/e2e/node-service.lib
. "$TOP/tests/e2e/node-green.lib"
boot_node one
starts() { n sh -c 'journalctl --no-pager -o cat -u pair -u pair-blue -u pair-green | grep -c "^Started pair"' || :; }

# ---- the first, and its names ----

green "$PORT" "$SPARE" 20s
for version in 1.0.0 1.1.0 1.2.0 1.3.0; do release pair $version >/dev/null 2>err; done
release pair 1.4.0 broken >/dev/null 2>err
check "install" n sbuild install "$pair:v1.0.0"
check_equal "the upstream file names its port" "server 127.0.0.1:$PORT;" "$(cat "$upstream")"
check_equal "the service's name is the unit's" pair-blue.service "$(n systemctl show -P Id pair)"
check "it starts at boot" n systemctl is-enabled -q pair
check_equal "status tells unit and port" "pair-blue.service $PORT healthy" "$(state '"\(.unit) \(.port) \(.health)"')"
printf '#!/bin/sh\nsed -E "s/.*:([0-9]+);/\\1/" /etc/sbuild/upstreams/pair.conf >>/root/reloads\n' >"$root/etc/sbuild/upstreams/reload"
chmod +x "$root/etc/sbuild/upstreams/reload"
# A drop-in as systemctl edit writes it, and a unit that can't do without the service.
mkdir "$root/etc/systemd/system/pair-blue.service.d"
printf '[Service]\nEnvironment=GIVEN=here\n' >"$root/etc/systemd/system/pair-blue.service.d/override.conf"
printf '[Unit]\nRequires=pair.service\nAfter=pair.service\n[Service]\nExecStart=/bin/sleep 1000\n' >"$root/etc/systemd/system/user.service"
n sh -c 'systemctl daemon-reload; systemctl start user'
dependent=$(n systemctl show -P MainPID user)

# ---- releases ----

follow
before=$(starts)
for version in 1.1.0 1.2.0 1.3.0; do check "release $version" n sbuild install "$pair:v$version"; done
check_equal "each was started once" $((before + 3)) "$(starts)"
check "the journal under the service's name says where they are" n sh -c 'journalctl --no-pager -u pair | grep -q "generation 4 serves .* journalctl -u pair-green.service"'
check_equal "the last in the other colour" "pair-green.service $SPARE" "$(state '"\(.unit) \(.port)"')"
check "rollback" n sbuild rollback pair
check "rollback" n sbuild rollback pair 1
check_equal "each was started once too" $((before + 5)) "$(starts)"
followed
check_equal "no request fails, and none is answered by what is not current" "0 1.0.0 1.1.0 1.2.0 1.3.0 1.2.0 1.0.0" "$(cat client.out)"
check_equal "the proxy was told once of each" "$SPARE $PORT $SPARE $PORT $SPARE" "$(paste -sd' ' "$root/root/reloads")"
check_equal "one process is left" 1 "$(processes)"
check_equal "what requires the service did not notice" "$dependent" "$(n systemctl show -P MainPID user)"
check_equal "one unit is left" pair-green.service "$(n sh -c 'cd /etc/systemd/system && ls -d pair-*.service')"
curl -s "http://127.0.0.1:$(port)/cgi-bin/slow?0" >/dev/null
check_equal "both colours heed drop-ins of the service's name, and have its data" here "$(n tail -n 1 /var/lib/pair/given)"

# ---- draining ----

slow() { # SECONDS: what it answers, and how long that took
	curl -s -m 30 -w ' %{time_total}' "http://127.0.0.1:$(port)/cgi-bin/slow?$1.00$$" >slow.out 2>&1 &
	slow=$!
	wait_for 10 pgrep -f "sleep $1.00$$" # it is at it
}
slow 6
check "a release while it answers slowly" n sbuild install "$pair:v1.1.0"
said 'waiting for connections to the old one, on port [0-9]*, to end: 1 '
wait $slow || :
check_equal "the answer is whole, and of the old one" 1.0.0 "$(head -n 1 slow.out)"
green "$PORT" "$SPARE" 3s
release pair 1.2.1 >/dev/null 2>err
n sbuild install "$pair:v1.2.1" >out 2>&1 || cat out
slow 25
began=$(date +%s%N)
check "a release while it answers more slowly than the limit" n sbuild install "$pair:v1.2.0"
took=$((($(date +%s%N) - began) / 1000000))
said 'are cut after 3.* s: 1$'
check "is not longer than the limit ($took ms)" test $took -ge 3000 -a $took -lt 20000
wait $slow || :
if n journalctl --no-pager -o cat -u pair -u pair-blue -u pair-green | grep -q 'Failed to kill control group'; then
	skip "control groups can't be killed here at times: what a connection is cut by"
else
	check_equal "its answer is cut" "" "$(head -n 1 slow.out | grep -o 1.2.1)"
fi

# ---- one that fails ----

pid=$(n systemctl show -P MainPID pair) was=$(state .unit)
follow
check_fails "a broken release" 7 n sbuild install "$pair:v1.4.0"
said 'the one that runs was left alone'
followed
check_equal "no request fails, nor is answered by it" "0 1.2.0" "$(cat client.out)"
check_equal "the one that runs was not disturbed" "$pid $was" "$(n systemctl show -P MainPID pair) $(state .unit)"
check "its record has what its unit said" sh -c "jq -r '.services[0].generations[-1] | .state, .journal' status.json | grep -Eq '^failed|pair-green'"
check_equal "one process is left" 1 "$(processes)"

# ---- the operator's commands ----

check "restart" n systemctl restart pair
check "is of the one that serves" test "$pid" != "$(n systemctl show -P MainPID pair)"
check_equal "it answers" 1.2.0 "$(served "$(port)")"
kill_node one
boot_node one
check_equal "after a reboot the same colour serves, alone" "1.2.0 1 $was" "$(served "$(port)") $(processes) $(state .unit)"
n systemctl disable pair >/dev/null 2>&1
check_equal "systemctl disable makes nothing unknown" "$was 1.2.0" "$(state '"\(.unit) \(.version)"')"
check "a release" n sbuild install "$pair:v1.0.0"
check "has the service's name again" n systemctl is-enabled -q pair
check_equal "it serves, alone" "1.0.0 1" "$(ask "$(port)") $(processes)"

# ---- killed while it tells the proxy ----

cp "$root/etc/sbuild/upstreams/reload" reload
cat >"$root/etc/sbuild/upstreams/reload" <<'END'
#!/bin/sh
for deadly in /root/deadly-*; do
	[ ! -e "$deadly" ] || { rm "$deadly" && kill -KILL $PPID && exit; }
done
grep -o "[0-9]*;" /etc/sbuild/upstreams/pair.conf >>/root/told
END
touch "$root/root/deadly-1" "$root/root/deadly-2" # the installer, and who takes over from it
n sbuild install "$pair:v1.1.0" >out 2>&1 || :
check "who takes over tells it again" wait_for 20 test -s "$root/root/told"
check_equal "both were killed" "" "$(ls "$root/root" | grep deadly)"
check_equal "of the port that serves" "$(state .version) $(port);" "$(served "$(port)") $(cat "$root/root/told")"
cp reload "$root/etc/sbuild/upstreams/reload"
wait_for 20 n sh -c '! [ -e /var/lib/sbuild/sbuild/services/pair/operation.json ]' || :

# ---- other ports, other strategies ----

follow
other=$(free_port)
green "$SPARE" "$other" 1s
release pair 3.0.0 >/dev/null 2>err
check "a release with other ports" n sbuild install "$pair:v3.0.0"
green "$other" "$PORT" 1s
release pair 3.1.0 >/dev/null 2>err
check "and again" n sbuild install "$pair:v3.1.0"
followed
check_equal "no request fails" 0 "$(cut -d' ' -f1 client.out)"
recipe "$PORT" 'directories: {state: /data}'
release pair 3.2.0 >/dev/null 2>err
check "recreate after blue-green" n sbuild install "$pair:v3.2.0"
check_equal "serves under its own name" "pair.service $PORT 3.2.0 1" "$(state '"\(.unit) \(.port)"') $(ask "$PORT") $(processes)"
check_equal "the upstream file follows" "$PORT" "$(port)"
make_service second "$(free_port)" 'strategy: blue-green' "spare_port: $(free_port)" 'upstream: pair.conf'
release second 1.0.0 >/dev/null 2>err
check_fails "no other service gets it, as it may be gone back to" 1 n sbuild install "$REPOSITORY/second:v1.0.0"
said 'pair.conf of second is that of the service pair'
check_equal "it is as it was" "$PORT" "$(port)"
n systemctl start user
dependent=$(n systemctl show -P MainPID user)
green "$PORT" "$SPARE" 1s
release pair 3.3.0 >/dev/null 2>err
check "blue-green after recreate" n sbuild install "$pair:v3.3.0"
check_equal "serves in a colour" "pair-blue.service $SPARE 3.3.0 1" "$(state '"\(.unit) \(.port)"') $(ask "$SPARE") $(processes)"
check "systemd knows its process" n systemctl is-active -q pair-blue
check_equal "what requires it did not notice" "$dependent" "$(n systemctl show -P MainPID user)"
check "and back" n sbuild rollback pair
check_equal "the other way" "pair.service $PORT 3.2.0 1" "$(state '"\(.unit) \(.port)"') $(ask "$PORT") $(processes)"
release pair 3.4.0 broken >/dev/null 2>err
check_fails "a broken one, from recreate" 7 n sbuild install "$pair:v3.4.0"
check_equal "is undone" "pair.service $PORT 3.2.0 1" "$(state '"\(.unit) \(.port)"') $(ask "$PORT") $(processes)"
check "blue-green once more" n sbuild rollback pair 1
python3 -c 'import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); time.sleep(60)' "$PORT" &
squatter=$!
for _ in $(seq 50); do ! python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])))' "$PORT" 2>/dev/null || break; done
check_fails "a port that another process has" 1 n sbuild install "$pair:v3.3.0"
kill $squatter
said "port $PORT, which generation .* is another process's"
check_equal "nothing else happens" "1.0.0 1" "$(ask "$(port)") $(processes)"

# ---- the end ----

n rm /etc/systemd/system/user.service /etc/systemd/system/pair.service.d/override.conf
check "uninstall" n sbuild uninstall pair
check_equal "leaves nothing" "reload" "$(n sh -c 'ls -dA /etc/systemd/system/*pair* /etc/systemd/system/*.wants/*pair* /var/lib/sbuild/sbuild/services/* 2>/dev/null; ls -A /etc/sbuild/upstreams')"
check_equal "no process" 0 "$(processes)"
