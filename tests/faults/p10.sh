# A hole need not be read, and a large one is told of at once; an interruption ends it.
. tests/faults/lib.sh
need strace
mkdir ctx
truncate -s 300M ctx/disk
echo end >>ctx/disk
printf 'name: app\nfrom: scratch\ncontext: ctx\nlayers: [{name: l, copy: {from: ., to: /x/}}]\n' >app.yaml
check "a file with a hole is packed" strace -f -qq -e trace=read -o reads "$SBUILD" app.yaml
check "and its hole is never read" test "$(awk -F'= ' '/read\(/ { sum += $NF } END { print sum < 20000000 }' reads)" = 1
check_equal "the digest is that of the content" "$(sha256sum <ctx/disk)" \
	"$("$SBUILD" export app:latest --format rootfs -o - | tar -xOf - x/disk | sha256sum)"
truncate -s 400G ctx/huge
"$SBUILD" app.yaml >app.out 2>&1 &
pid=$!
for _ in $(seq 100); do
	! grep -q 'are on the disk' app.out || break
	sleep 0.1
done
check "a huge one is told of" has app.out 'warning: .*/huge: only .* of its 429 GB are on the disk'
kill -TERM $pid
(sleep 10; kill -KILL $pid) 2>/dev/null &
status=0
wait $pid || status=$?
check_equal "and a signal ends it" 143 $status
