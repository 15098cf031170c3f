# A registry that answers GET and refuses HEAD is asked by GET.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need docker-registry python3
start_registry main
odd
mkdir src
echo content >src/file
printf 'name: app\nfrom: scratch\nlayers: [{name: a, copy: {from: src, to: /}}]\n' >app.yaml
for how in 403 401 400 500 elsewhere; do
	build app --push --tag "$PROXY/head-$how/app:v1"
	check "HEAD $how: again" build app --push --tag "$PROXY/head-$how/app:v1"
	printf 'name: top\nfrom: {image: "%s"}\nlayers: [{name: b, copy: {from: src, to: /b}}]\n' "$PROXY/head-$how/app:v1" >top.yaml
	check "HEAD $how: lock" "$SBUILD" lock top.yaml
	rm -f top.lock
done
