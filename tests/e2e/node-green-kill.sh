#!/bin/sh
# SIGKILL at any moment of a blue-green release or rollback, and losses of power: the upstream file always
# leads to a whole generation, and the next command leaves one process and puts all in order.
#
#   SB_KILLS=20 SB_STOPS=2    how often    SB_SEED=…    when: printed, so that a failure can be repeated
. tests/e2e/node-service.lib
. "$TOP/tests/e2e/node-green.lib"
. "$TOP/tests/e2e/node-kill.lib"
boot_node one

kills=${SB_KILLS:-20} stops=${SB_STOPS:-2}
green "$PORT" "$SPARE" 1s
for version in 2.0.0 2.1.0; do release pair $version >/dev/null 2>err; done
release pair 2.2.0 broken >/dev/null 2>err
n sbuild install "$pair:v2.0.0" >out 2>&1 || cat out
began=$(date +%s%N)
n sbuild install "$pair:v2.1.0" >out 2>&1 || cat out
length=$((($(date +%s%N) - began) / 1000000))
echo "node-green-kill: $kills kills, SB_SEED=$seed, a release takes $length ms"
command_of() { # the command of round N
	case $(($1 % 4)) in
	0) echo "install $pair:v2.1.0" ;;
	1) echo "rollback pair" ;;
	2) echo "install $pair:v2.0.0" ;;
	3) echo "install $pair:v2.2.0" ;; # fails
	esac
}
consistent() {
	answer=$(served "$(port)") is=$(state '"\(.version) \(.port) \(.health)"')
	[ "$is" = "$answer $(port) healthy" ] || echo "the upstream file says $(port), there is $answer, current is $is"
	[ "$(processes)" = 1 ] || echo "$(processes) processes"
	n sh -c 'cd /etc/systemd/system; ls -A | grep "^\.s" || :; [ "$(ls -d pair-*.service | wc -l)" = 1 ] || ls -d pair-*.service
		ls /var/lib/sbuild/sbuild/services/pair | grep operation || :
		[ "$(ls | grep -c "run-sbuild.*mount")" = 1 ] || ls *.mount'
}
follow
bad='' i=0
awk -v seed="$seed" -v n="$kills" -v all="$length" \
	'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.3f\n", (i + rand()) / n * all / 1e3 }' >times
while read -r moment; do
	i=$((i + 1)) how=$(command_of $i)
	# shellcheck disable=SC2086 # words are wanted
	kill_at "$moment" $how
	case $(ask "$(port)") in 2.[01].0 | 1.0.0) ;; *) bad="$bad kill $i ($how, $moment s): $(ask "$(port)");" ;; esac
	case $((i % 3)) in
	0) next=$how ;; # the same again finishes it
	*) next="status --recover" ;;
	esac
	status=0
	# shellcheck disable=SC2086
	n sbuild $next >out 2>&1 || status=$?
	case $next:$status in *:0 | *v2.2.0:7 | rollback*:1) ;; *) bad="$bad $next after kill $i ($how, $moment s): $(tail -n 2 out);" ;; esac
	left=$(consistent)
	[ -z "$left" ] || bad="$bad kill $i ($how, $moment s) left: $left;"
done <times
check_equal "after each kill one whole generation serves, and the next command puts all in order" "" "$bad"
check "commands were caught alive ($killed of $kills)" test $((killed * 3)) -ge "$kills"
followed
check_equal "and no request failed in all that time" 0 "$(cut -d' ' -f1 client.out)"

# Units of which no more was written than a temporary.
now=$(state .generation)
n sh -c 'cd /etc/systemd/system && touch .sbuild-pair.service .sbuild-pair-blue.service .sbuild-pair-green.service &&
	echo "{\"version\": 1, \"operation\": \"install\", \"from\": $1, \"to\": $(($1 + 1))}" >/var/lib/sbuild/sbuild/services/pair/operation.json' sh "$now"
n sbuild status --recover >out 2>&1 || cat out
check_equal "half a unit goes with what was begun" "" "$(consistent)"

# ---- power ----

bad='' i=0
awk -v seed="$seed" -v n="$stops" -v all="$length" \
	'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.3f\n", (i + rand()) / n * all / 1e3 }' >times
while read -r moment; do
	i=$((i + 1)) how=$(command_of $((i * 2)))
	# shellcheck disable=SC2086
	stop_at "$moment" $how || { bad="$bad stop $i: no boot;" && break; }
	n systemctl start pair # waits for its start
	n sbuild status --recover >out 2>&1 || bad="$bad after stop $i ($how, $moment s): $(tail -n 2 out);"
	left=$(consistent)
	[ -z "$left" ] || bad="$bad stop $i ($how, $moment s) left: $left;"
done <times
check_equal "after each loss of power too" "" "$bad"
