# In a layer, a name that begins with .wh. removes files: nothing may be copied or downloaded to such a
# name, and it is said with the place, before anything is built.
. tests/faults/lib.sh
bb
mkdir -p src/deep
echo x >src/deep/.wh.busybox
echo x >.wh.top
fails() { # NAME STATUS STEP
	printf 'name: app\nfrom: bb.yaml\nlayers:\n  - name: first\n    %s\n' "$3" >app.yaml
	check_fails "$1" "$2" "$SBUILD" app.yaml
	check_said 'app.yaml:[45]:[0-9]+: .*a layer can.t hold a name that begins with "\.wh\."'
	check_fails "$1, in a plan" "$2" "$SBUILD" plan app.yaml
}
fails "a file below what is copied" 1 'copy: {from: src, to: /bin}'
fails "a file into a directory" 1 'copy: {from: .wh.top, to: /bin/}'
fails "beside a step" 1 'steps: [{copy: {from: src, to: /bin}}, {run: "true"}]'
fails "the destination" 3 'copy: {from: .wh.top, to: /bin/.wh.busybox}'
fails "a directory on the way" 3 'copy: {from: .wh.top, to: /.wh.bin/x}'
fails "a download" 3 "download: {url: \"http://127.0.0.1:1/x\", sha256: $(printf x | sha256sum | cut -c1-64), to: /bin/.wh.busybox}"
printf 'name: app\nfrom: bb.yaml\nlayers: [{name: first, copy: {from: .wh.top, to: /top}}]\n' >app.yaml
check "another name is none" build app
