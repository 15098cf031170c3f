# A tag that no image can have is told before anything is built.
. tests/faults/lib.sh
mkdir src
echo x >src/x
for tag in a..b a__b a.-b 1.0.0-a.-b -a 'a/b:' "$(printf 'a%.0s' $(seq 129))"; do
	printf 'name: app\nfrom: scratch\nlayers: [{name: a, copy: {from: src, to: /}}]\n' >app.yaml
	check_fails "the tag $tag" '[23]' "$SBUILD" build app.yaml --tag "$tag"
	check "$tag: nothing is built" sh -c '! grep -q "^ *built" said'
done
for name in a..b a__-b a.-b A; do
	printf 'name: "%s"\nfrom: scratch\nlayers: [{name: a, copy: {from: src, to: /}}]\n' "$name" >app.yaml
	check_fails "the name $name" 3 "$SBUILD" build app.yaml
	check "$name: it says where" has said 'app.yaml:1:'
done
printf 'name: app\nfrom: scratch\nversion: 1.2.3+build.5\ntags: [semver]\nlayers: [{name: a, copy: {from: src, to: /}}]\n' >app.yaml
check "a version with build metadata" build app
