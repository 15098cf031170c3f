#!/bin/sh
# SIGKILL at any moment of uninstall and of prune, and nodes that lose their power meanwhile.
#
#   SB_KILLS=5 SB_STOPS=2    how often, of each
. tests/e2e/node-service.lib
. "$TOP/tests/e2e/node-kill.lib"
kills=${SB_KILLS:-5} stops=${SB_STOPS:-2}
PORT=$(free_port)
SERVICE_TIMEOUT=3s
make_service web "$PORT" 'directories: {state: /data}'
web=$REPOSITORY/web
for version in 1 2 3 4 5 6; do release web $version.0.0 >/dev/null 2>err; done
echo "node-kill-more: SB_SEED=$seed"
boot_node one

# ---- uninstall ----

# With two generations, and a timer that follows its tag.
prepare() {
	n sbuild install "$web:v1.0.0" >out 2>&1 && n sbuild install "$web:v2.0" --auto --interval 1h >out 2>&1 || cat out
}
# Afterwards it is there, whole, or on its way out, which needs nobody.
whole_or_gone() {
	idle web || echo "still under way"
	if n test -e /etc/systemd/system/web.service; then
		consistent web "$PORT"
		leftovers web
		n systemctl is-active -q sbuild-auto-web.timer || echo "follows no tag"
	else
		gone web "$PORT"
	fi
}
prepare
length=$(milliseconds n sbuild uninstall web)
bad='' i=0 killed=0
moments "$kills" $((length * 5 / 4)) >times
while read -r moment; do
	i=$((i + 1))
	prepare
	kill_at "$moment" uninstall web
	left=
	[ $((i % 2)) = 0 ] || left=$(whole_or_gone)
	n sbuild uninstall web >out 2>&1 || grep -q 'there is no service web' out || left="$left again: $(tail -n 2 out)"
	left="$left$(gone web "$PORT")"
	n test -d /var/lib/web || left="$left its data are gone"
	[ -z "$left" ] || bad="$bad kill $i ($moment s): $left;"
done <times
check_equal "after a kill of uninstall the service is whole, or goes; again finishes it" "" "$bad"
uninstalls=$killed

bad='' i=0
moments "$stops" $((length * 5 / 4)) >times
while read -r moment; do
	i=$((i + 1))
	prepare
	stop_at "$moment" uninstall web || { bad="$bad stop $i: no boot;" && break; }
	left=$(whole_or_gone)
	n sbuild uninstall web >out 2>&1 || grep -q 'there is no service web' out || left="$left again: $(tail -n 2 out)"
	left="$left$(gone web "$PORT")"
	[ -z "$left" ] || bad="$bad stop $i ($moment s): $left;"
done <times
check_equal "after a loss of power, too" "" "$bad"

# One that died with nothing left to take away but one of the units of the watch.
for unit in sbuild-recover.service sbuild-recover@.service; do
	prepare
	n cp "/etc/systemd/system/$unit" /run/left
	n sbuild uninstall web >out 2>&1 || cat out
	n mv /run/left "/etc/systemd/system/$unit"
	n sbuild uninstall web >out 2>&1 || :
	check_equal "left alone, $unit goes with the next" "" "$(gone web "$PORT")"
done

# Killed when nothing but the units of recovery was left: who watches takes them away.
prepare
n cp -a /etc/systemd/system/sbuild-recover.service /etc/systemd/system/sbuild-recover@.service /root
n sbuild uninstall web >out 2>&1 || cat out
n cp -a /root/sbuild-recover.service /root/sbuild-recover@.service /etc/systemd/system
n sbuild status web --recover >out 2>&1 || cat out
check_equal "the end of an uninstallation is watched over" "" "$(gone web "$PORT")"

# Half of what follows a tag, as of an installation that was killed.
prepare
n sh -c 'cd /etc/systemd/system && systemctl stop sbuild-auto-web.timer &&
	rm timers.target.wants/sbuild-auto-web.timer && mv sbuild-auto-web.timer .sbuild-sbuild-auto-web.timer'
n sbuild uninstall web >out 2>&1 || cat out
check_equal "it goes with the service" "" "$(gone web "$PORT")"

# ---- prune ----

# Five generations on five trees, of which two may go.
version=0
generations() {
	for _ in 1 2 3; do
		version=$((version % 6 + 1))
		n sbuild install "$web:v$version.0.0" >out 2>&1 || cat out
	done
}
generations
generations
length=$(milliseconds n sbuild prune)
check_fail() { # what is wrong after a prune that did not end, for $1
	left=$(trees)
	n systemctl restart web || left="$left does not start;"
	n sbuild rollback web >out 2>&1 || left="$left rollback: $(tail -n 2 out)"
	n sbuild prune >out 2>&1 || left="$left prune: $(tail -n 2 out)"
	left="$left$(trees pruned)$(consistent web "$PORT")$(leftovers web)"
	[ -z "$left" ] || bad="$bad $1: $left;"
}
bad='' i=0 killed=0
moments "$kills" "$length" >times
while read -r moment; do
	i=$((i + 1))
	generations
	kill_at "$moment" prune
	check_fail "kill $i ($moment s)"
done <times
check_equal "after a kill of prune nothing is missing, and again finishes it" "" "$bad"
prunes=$killed
bad='' i=0
moments "$stops" "$length" >times
while read -r moment; do
	i=$((i + 1))
	generations
	stop_at "$moment" prune || { bad="$bad stop $i: no boot;" && break; }
	check_fail "stop $i ($moment s)"
done <times
check_equal "after a loss of power, too" "" "$bad"

check_equal "no unit failed" "" "$(n systemctl --failed --plain --no-legend)"
echo "node-kill-more: of $kills each, killed alive: uninstall $uninstalls, prune $prunes"
