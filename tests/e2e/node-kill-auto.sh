#!/bin/sh
# SIGKILL at any moment of what a timer installs by itself, and of blue-green switches.
#
#   SB_KILLS=6    how often, of each
. tests/e2e/node-service.lib
. "$TOP/tests/e2e/node-kill.lib"
kills=${SB_KILLS:-6}
SERVICE_TIMEOUT=3s
echo "node-kill-auto: SB_SEED=$seed"
boot_node one

# ---- a timer's own installations ----

PORT2=$(free_port)
make_service tag "$PORT2"
release tag 1.0.0 >/dev/null 2>err
n sbuild install "$REPOSITORY/tag:latest" --auto --interval 4s >out 2>&1 || cat out
release tag 2.0.0 >/dev/null 2>err
length=$(milliseconds n systemctl start sbuild-auto-tag)
bad='' i=2 killed=0
moments "$kills" "$length" >times
while read -r moment; do
	i=$((i + 1))
	release tag "$i.0.0" >/dev/null 2>err || cat err
	n systemctl start --no-block sbuild-auto-tag
	sleep "$moment"
	! n sh -c 'pid=$(systemctl show -P MainPID sbuild-auto-tag) && [ "$pid" != 0 ] && systemctl kill -s KILL sbuild-auto-tag' || killed=$((killed + 1))
	case $(serves "$PORT2" any) in [1-9]*.0.0) ;; *) bad="$bad kill $i ($moment s): $(serves "$PORT2");" ;; esac
done <times
latest="$i.0.0"
answers() { [ "$(ask "$2")" = "$1" ]; }
check "the timer goes on after kills of its service, to the newest" wait_for 20 answers "$latest" "$PORT2"
idle tag || :
check_equal "always one whole generation" "" "$bad$(consistent tag "$PORT2")"
n sbuild install "$REPOSITORY/tag:latest" --no-auto >out 2>&1 || cat out
check_equal "nothing is left" "" "$(leftovers tag)"
autos=$killed
n sbuild uninstall tag >out 2>&1 || cat out

# ---- blue-green ----

PORT3=$(free_port) spare=$(free_port)
make_service pair "$PORT3" 'strategy: blue-green' "spare_port: $spare"
for version in 1 2 3; do release pair $version.0.0 >/dev/null 2>err; done
n sbuild install "$REPOSITORY/pair:v1.0.0" >out 2>&1 || cat out
length=$(milliseconds n sbuild install "$REPOSITORY/pair:v2.0.0")
upstream() { n sed -nE 's/.*:([0-9]+);.*/\1/p' /etc/sbuild/upstreams/pair.conf; }
bad='' i=0 killed=0
moments "$kills" "$length" >times
while read -r moment; do
	i=$((i + 1)) to=$((i % 3 + 1))
	kill_at "$moment" install "$REPOSITORY/pair:v$to.0.0"
	left=
	case $(serves "$(upstream)" any) in [1-9]*.0.0) ;; *) left=" at its upstream $(serves "$(upstream)");" ;; esac
	[ $((i % 2)) = 0 ] || idle pair || left="$left still under way"
	n sbuild install "$REPOSITORY/pair:v$to.0.0" >out 2>&1 || left="$left again: $(tail -n 2 out)"
	left="$left$(consistent pair "$(upstream)")$(leftovers pair)"
	[ "$(pgrep -cf "^/bin/busybox httpd.*-p ($PORT3|$spare) ")" = 1 ] || left="$left $(pgrep -af "^/bin/busybox httpd.*-p ($PORT3|$spare) ")"
	[ -z "$left" ] || bad="$bad kill $i ($to, $moment s): $left;"
done <times
check_equal "after each kill of a blue-green switch one whole process serves at the upstream's port" "" "$bad"
check_equal "no unit failed" "" "$(n systemctl --failed --plain --no-legend)"
echo "node-kill-auto: of $kills each, killed alive: auto $autos, blue-green $killed"
