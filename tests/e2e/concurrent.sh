#!/bin/sh
# Many builds in one store: of one recipe, of several on one base, beside prune.
. tests/e2e/lib.sh
need_root
need runc jq
busybox_base
mkdir src
head -c 400000 /dev/urandom | od -x >src/file
cat >one.yaml <<'EOF'
name: one
from: base.yaml
layers:
  - {name: a, run: "sleep 0.3; od -x /bin/busybox | head -n 20000 >/a"}
  - {name: b, run: "sleep 0.2; cp /a /b"}
  - {name: c, copy: {from: src/file, to: /c}}
  - {name: d, run: "sleep 0.1; rm /b; cat /c /a >/d"}
EOF
all_of() { # PID…: fails when one of them did
	for pid; do wait "$pid" || return 1; done
}
one_digest() { # FILE…
	[ "$(cat "$@" | sort -u | wc -l)" = 1 ] && ! grep -qv '^sha256:' "$@"
}

# ---- eight times the same ----

# Run steps are expensive, and never run twice; copying is done at once by whoever wants it.
run_counts() { # META…: how often each layer with a run step was built
	jq -r '.layers[] | select(.cached | not) | .name' "$@" | grep -x '[abd]' | sort | uniq -c | awk '{ print $2 $1 }' | tr '\n' ' '
}
eight() { # OPTION…
	pids=
	for i in 1 2 3 4 5 6 7 8; do
		"$SBUILD" one.yaml --metadata-file "meta$i" "$@" >"digest$i" 2>"err$i" &
		pids="$pids $!"
	done
	# shellcheck disable=SC2086 # words are wanted
	check "eight builds at once succeed ($*)" all_of $pids
	grep -h error: err? || :
	check "they agree ($*)" one_digest digest?
}
eight
check_equal "each layer is run once" "a1 b1 d1 " "$(run_counts meta?)"
eight --no-cache -j1
check_store "after eight at once"
sed -i 's/name: one/name: one\nargs: {N: "0"}/' one.yaml
"$SBUILD" one.yaml >digest0 2>/dev/null
eight --set N=1
check_equal "each layer is run once again" "a1 b1 d1 " "$(run_counts meta?)"

# ---- four on one base ----

cat >shared.yaml <<'EOF'
name: shared
from: base.yaml
layers: [{name: shared, run: "sleep 0.5; echo shared >/shared"}]
EOF
for i in 1 2 3 4; do
	cat >"four$i.yaml" <<EOF
name: four$i
args: {N: "0"}
from: shared.yaml
layers:
  - {name: x, run: "sleep 0.2; cat /shared >/x$i"}
  - {name: y, copy: {from: src/file, to: /y$i}}
  - {name: z, run: "rm /x$i"}
EOF
done
"$SBUILD" four1.yaml four2.yaml four3.yaml four4.yaml --store one --metadata-file meta >digests 2>err
check_equal "four recipes in one process" 4 "$(sort -u digests | grep -c ^sha256:)"
check_equal "their base is built once" 1 "$(grep -c '^  building shared shared' err)"
check_equal "the facts of all are told" "four1 four2 four3 four4" "$(jq -r '[.images[].name] | join(" ")' meta)"
pids=
for i in 1 2 3 4; do
	"$SBUILD" "four$i.yaml" --store four >"digest$i" 2>"err$i" &
	pids="$pids $!"
done
# shellcheck disable=SC2086
check "four processes" all_of $pids
check_equal "their base is built once, too" 1 "$(cat err1 err2 err3 err4 | grep -c '^  building shared shared')"
check_equal "both ways give the same images" "$(sort digests)" "$(sort digest1 digest2 digest3 digest4)"
check_store "of one process" one
check_store "of four processes" four

# One fails: the others end what they do, and the status is the failing one's.
sed 's/rm .x1/exit 9/' four1.yaml >fails.yaml
check_fails "one failing recipe of four" 4 "$SBUILD" --store one --no-cache four2.yaml fails.yaml four3.yaml four4.yaml
check "the others go on afterwards" "$SBUILD" --store one four1.yaml four2.yaml four3.yaml four4.yaml
check_store "after one failed" one

# ---- beside prune ----

(while [ ! -e stop ]; do
	"$SBUILD" prune --max-size 3M >>pruned 2>&1 || echo "FAILED $?" >>pruned
	n=$((${n:-0} + 1)) && echo $n >prunes
done) &
pruner=$!
for round in 1 2 3; do
	pids=
	for i in 1 2 3 4; do
		"$SBUILD" "four$i.yaml" --set "N=$round" >"digest$i" 2>"err$i" &
		pids="$pids $!"
	done
	"$SBUILD" one.yaml --set "N=p$round" >digest5 2>err5 &
	# shellcheck disable=SC2086
	check "round $round beside prune" all_of $pids $!
	grep -h error: err? || :
	check_equal "round $round gives the same images" "$(sort digests digest0)" "$(sort digest1 digest2 digest3 digest4 digest5)"
done
touch stop
wait $pruner
check_equal "no prune fails" "" "$(grep -A3 -e FAILED -e error: pruned)"
check "prune had its turns" test "$(cat prunes)" -ge 3
check "prune at the end" "$SBUILD" prune --max-size 3M
check "the cap holds" test "$(du -s --block-size=1 "$SBUILD_STORE" | cut -f1)" -le 3000000
check_store "after pruning"
"$SBUILD" one.yaml >again 2>/dev/null
check_equal "the next build gives the same image" "$(cat digest0)" "$(cat again)"
