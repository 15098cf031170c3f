# A registry that restarts for four seconds costs four seconds.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need docker-registry
start_registry main
bb
"$SBUILD" push bb "$REGISTRY/team/bb:v1" >/dev/null 2>&1
stop_registry main
sh -c "sleep 4; exec env REGISTRY_HTTP_ADDR=$REGISTRY REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=$T/registry-main/data \
	docker-registry serve '$T/registry-main/config.yml'" >again.log 2>&1 &
registries="$registries $!"
export SBUILD_PATIENCE=1m
check "a pull waits" "$SBUILD" pull "$REGISTRY/team/bb:v1" --store "$T/other"
