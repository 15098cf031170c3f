# A layer that another process has built meanwhile is cached, and has no cause for being built.
. tests/faults/lib.sh
need_root
need runc
busybox_base
printf 'name: app\nfrom: base.yaml\nlayers: [{name: slow, run: "sleep 2; echo slow >/slow"}]\n' >app.yaml
build base
"$SBUILD" build app.yaml --explain --progress plain >first.out 2>&1 &
sleep 1
check "it waits for the first" build app --explain --progress plain
wait
check "it was the other that built" has app.out 'wait'
check_fails "it has no cause" 1 grep -q 'never built here' app.out
