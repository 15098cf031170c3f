#!/bin/sh
# SIGKILL at any moment of install and rollback, and nodes that lose their power: what runs is always one
# whole generation, and the next command finishes or undoes what was begun, and leaves nothing.
#
#   SB_KILLS=20 SB_STOPS=4    how often    SB_SEED=…    when: printed, so that a failure can be repeated
. tests/e2e/node-service.lib
. "$TOP/tests/e2e/node-kill.lib"
PORT=$(free_port)
SERVICE_TIMEOUT=2s # for those that fail
kills=${SB_KILLS:-20} stops=${SB_STOPS:-4}
make_service web "$PORT"
web=$REPOSITORY/web
for version in 1 2 3; do release web $version.0.0 >/dev/null 2>err; done
release web 4.0.0 broken >/dev/null 2>err
boot_node one
n sbuild install "$web:v1.0.0" >/dev/null 2>err
n sbuild install "$web:v2.0.0" >/dev/null 2>err

next() { # the command of round N, from what there is
	case $(($1 % 5)) in
	0) echo "install $web:v3.0.0" ;;
	1) echo "rollback web" ;;
	2) echo "install $web:v2.0.0" ;;
	3) echo "install $web:v4.0.0" ;; # fails, and goes back
	4) echo "install $web:v1.0.0" ;;
	esac
}
began=$(date +%s%N)
n sbuild install "$web:v3.0.0" >/dev/null 2>err
length=$((($(date +%s%N) - began) / 800000))
echo "node-kill: $kills kills, $stops stops, SB_SEED=$seed, an installation takes $((length * 4 / 5)) ms"

bad='' i=0
moments "$kills" "$length" >times
while read -r moment; do
	i=$((i + 1)) how=$(next $i)
	# shellcheck disable=SC2086 # words are wanted
	kill_at "$moment" $how
	answer=$(serves "$PORT" any)
	case $answer in ?.0.0) ;; *) bad="$bad kill $i ($how, $moment s): $answer;" ;; esac
	case $((i % 2)) in
	0) n sbuild install "$web:v2.0.0" >out 2>&1 || bad="$bad after kill $i ($how, $moment s): $(tail -n 2 out);" ;;
	1) # the same again finishes it
		status=0
		# shellcheck disable=SC2086
		n sbuild $how >out 2>&1 || status=$?
		case $how:$status in *:0 | *v4.0.0:7 | rollback*:1) ;; *) bad="$bad again after kill $i ($how, $moment s): $(tail -n 2 out);" ;; esac ;;
	esac
	left=$(consistent web "$PORT" && leftovers web)
	[ -z "$left" ] || bad="$bad kill $i ($how, $moment s) left: $left;"
done <times
check_equal "after each kill a whole generation serves, and the next command puts all in order" "" "$bad"
check "commands were caught alive ($killed of $kills)" test $((killed * 4)) -ge "$kills"

bad='' i=0
moments "$stops" "$length" >times
while read -r moment; do
	i=$((i + 1)) how=$(next $i)
	# shellcheck disable=SC2086
	stop_at "$moment" $how || { bad="$bad stop $i: no boot;" && break; }
	case $(serves "$PORT") in [123].0.0) ;; *) bad="$bad stop $i ($how, $moment s): $(serves "$PORT");" ;; esac
	n sbuild install "$web:v1.0.0" >out 2>&1 || bad="$bad after stop $i ($how, $moment s): $(tail -n 2 out);"
	left=$(consistent web "$PORT" && leftovers web)
	[ -z "$left" ] || bad="$bad stop $i ($how, $moment s) left: $left;"
	[ $((i % 4)) != 0 ] || n sbuild prune >/dev/null 2>&1 || bad="$bad prune after stop $i;"
done <times
check_equal "after each loss of power a whole generation serves, and the next command puts all in order" "" "$bad"
check_equal "nothing is left of those that failed but records" "" "$(leftovers web)"
