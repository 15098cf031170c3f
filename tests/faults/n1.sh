# A host that got another driver goes back to a generation that was made with the old one.
. tests/faults/lib.sh
. "$TOP/tests/e2e/node.lib"
. "$TOP/tests/e2e/node-service.lib"
. "$TOP/tests/e2e/driver.lib"
make_driver 535.104.05 old
make_driver 550.54.15 new
boot_node one
n mknod -m 666 /dev/nvidiactl c 1 3 || skip_all "no device nodes can be made here"
n mknod -m 666 /dev/nvidia0 c 1 3
give_driver old "/usr/lib/$MULTIARCH"
make_service gpu "$(free_port)" 'gpu: 1'
for version in 1.0.0 1.1.0; do
	release gpu $version >/dev/null 2>err || cat err
	n sbuild install "$REPOSITORY/gpu:v$version" >/dev/null 2>err || cat err
done
give_driver new "/usr/lib/$MULTIARCH"
check "with another driver there is a way back" n sbuild rollback gpu
check_equal "which runs" "1 healthy" "$(n sbuild status gpu --json | jq -r '.services[0] | "\(.generation) \(.health)"')"
