# Who may not push is told before the first step, and what is known is written down.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need docker-registry runc jq
start_registry closed htpasswd
busybox_base
printf 'name: app\nfrom: base.yaml\nlayers: [{name: slow, run: "echo it runs; sleep 1"}]\n' >app.yaml
check_fails "a push without credentials" 5 "$SBUILD" build app.yaml --push --tag "$REGISTRY/team/app:v1" --progress plain --metadata-file facts.json
check "no step has run" sh -c '! grep -q "it runs" said'
check "it says what to do" grep -q 'sbuild login' said
check "the facts are there, with the error" jq -e '.error and .name == "app"' facts.json
