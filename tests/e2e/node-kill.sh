#!/bin/sh
# SIGKILL at any moment of install and rollback, and nodes that lose their power: what runs is always one
# whole generation, and the next command finishes or undoes what was begun, and leaves nothing.
#
#   SB_KILLS=20 SB_STOPS=4    how often    SB_SEED=…    when: printed, so that a failure can be repeated
. tests/e2e/node-service.lib
PORT=$(free_port)
SERVICE_TIMEOUT=2s # for those that fail
kills=${SB_KILLS:-20} stops=${SB_STOPS:-4} seed=${SB_SEED:-$$}
make_service web "$PORT"
web=$REPOSITORY/web
for version in 1 2 3; do release web $version.0.0 >/dev/null 2>err; done
release web 4.0.0 broken >/dev/null 2>err
boot_node one
n sbuild install "$web:v1.0.0" >/dev/null 2>err
n sbuild install "$web:v2.0.0" >/dev/null 2>err

# What serves, within some seconds: one that is healthy, or (any) also the one that is not, which a
# killed installation leaves running, whole, until the next command or boot.
serves() { # [any]
	for _ in $(seq 300); do
		answer=$(ask "$PORT") || answer=none
		case $answer$1 in [123].0.0 | ?.0.0any) echo "$answer" && return ;; esac
		sleep 0.05
	done
	echo "nothing ($answer)"
}
# Whether what serves is the generation that is current; and what else is there that should not be.
consistent() {
	n sbuild status web --json >status.json 2>err || { cat err && return; }
	version=$(jq -r '.services[0].version' status.json)
	answer=$(serves '')
	[ "$answer" = "$version" ] || echo "serves $answer, current is $version"
	jq -r '.services[0] | select(.unfinished) | "unfinished"' status.json
}
leftovers() {
	n sh -c 'ls -A /etc/systemd/system | grep -E "^\." || :; ls -A /var/lib/sbuild/sbuild/services/web | grep -E "operation|^\.tmp" || :
		[ "$(ls /etc/systemd/system | grep -c "run-sbuild.*mount")" = 1 ] || ls /etc/systemd/system/*.mount
		[ "$(grep -c " /run/sbuild/" /proc/self/mountinfo)" = 1 ] || grep " /run/sbuild/" /proc/self/mountinfo'
}

next() { # the command of round N, from what there is
	case $(($1 % 5)) in
	0) echo "install $web:v3.0.0" ;;
	1) echo "rollback web" ;;
	2) echo "install $web:v2.0.0" ;;
	3) echo "install $web:v4.0.0" ;; # fails, and goes back
	4) echo "install $web:v1.0.0" ;;
	esac
}
moments() { # COUNT MILLISECONDS
	awk -v seed="$seed" -v n="$1" -v length_="$2" \
		'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.3f\n", rand() * length_ / 1e3 }'
}

began=$(date +%s%N)
n sbuild install "$web:v3.0.0" >/dev/null 2>err
length=$((($(date +%s%N) - began) / 800000))
echo "node-kill: $kills kills, $stops stops, SB_SEED=$seed, an installation takes $((length * 4 / 5)) ms"

bad='' killed=0 i=0
moments "$kills" "$length" >times
while read -r moment; do
	i=$((i + 1)) how=$(next $i)
	# shellcheck disable=SC2086 # words are wanted
	n sh -c 'echo $$ >/run/victim; exec sbuild "$@"' sh $how >out 2>&1 &
	job=$!
	sleep "$moment"
	! n sh -c 'kill -KILL $(cat /run/victim)' 2>/dev/null || killed=$((killed + 1))
	wait $job 2>/dev/null || :
	answer=$(serves any)
	case $answer in ?.0.0) ;; *) bad="$bad kill $i ($how, $moment s): $answer;" ;; esac
	case $((i % 2)) in
	0) n sbuild install "$web:v2.0.0" >out 2>&1 || bad="$bad after kill $i ($how, $moment s): $(tail -n 2 out);" ;;
	1) # the same again finishes it
		status=0
		# shellcheck disable=SC2086
		n sbuild $how >out 2>&1 || status=$?
		case $how:$status in *:0 | *v4.0.0:7 | rollback*:1) ;; *) bad="$bad again after kill $i ($how, $moment s): $(tail -n 2 out);" ;; esac ;;
	esac
	left=$(consistent && leftovers)
	[ -z "$left" ] || bad="$bad kill $i ($how, $moment s) left: $left;"
done <times
check_equal "after each kill a whole generation serves, and the next command puts all in order" "" "$bad"
check "commands were caught alive ($killed of $kills)" test $((killed * 4)) -ge "$kills"

bad='' i=0
moments "$stops" "$length" >times
while read -r moment; do
	i=$((i + 1)) how=$(next $i)
	# shellcheck disable=SC2086
	n sbuild $how >out 2>&1 &
	job=$!
	sleep "$moment"
	kill_node one
	wait $job 2>/dev/null || :
	boot_node one || { bad="$bad stop $i: no boot;" && break; }
	case $(serves '') in [123].0.0) ;; *) bad="$bad stop $i ($how, $moment s): $(serves '');" ;; esac
	n sbuild install "$web:v1.0.0" >out 2>&1 || bad="$bad after stop $i ($how, $moment s): $(tail -n 2 out);"
	left=$(consistent && leftovers)
	[ -z "$left" ] || bad="$bad stop $i ($how, $moment s) left: $left;"
	[ $((i % 4)) != 0 ] || n sbuild prune >/dev/null 2>&1 || bad="$bad prune after stop $i;"
done <times
check_equal "after each loss of power a whole generation serves, and the next command puts all in order" "" "$bad"
check_equal "nothing is left of those that failed but records" "" "$(leftovers)"
