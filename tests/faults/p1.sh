# A root file system copied over an image whose /bin and /lib are links: it goes where these lead, and
# nothing of another kind is replaced, whether a step stands beside the copy or not.
. tests/faults/lib.sh
um
mkdir -p rootfs/bin rootfs/lib clash/etc/passwd clash2
echo hello >rootfs/bin/hello
echo x >rootfs/lib/libx.so
echo x >clash/etc/passwd/x
echo x >clash2/usr
for step in none 'run: "true"'; do
	name=pure copies='copy: {from: rootfs, to: /}'
	[ "$step" = none ] || { name=mixed copies='steps: [{copy: {from: rootfs, to: /}}, {run: "true"}]'; }
	[ "$step" = none ] || need_root
	printf 'name: %s\nfrom: um.yaml\nlayers: [{name: files, %s}]\n' $name "$copies" >$name.yaml
	check "$name: it is built" build $name
	tree $name:latest $name
	check_equal "$name: /bin is the link it was" usr/bin "$(readlink $name/bin)"
	check_equal "$name: and so is /lib" usr/lib "$(readlink $name/lib)"
	check "$name: the files are where they lead" test -f $name/usr/bin/hello -a -f $name/usr/lib/libx.so
	check "$name: with those of the base" test -f $name/usr/bin/busybox -a -f $name/usr/lib/liba.so
	for clash in clash clash2; do
		printf '%s' "$copies" | sed "s/rootfs/$clash/" >with
		printf 'name: app\nfrom: um.yaml\nlayers:\n  - name: files\n    %s\n' "$(cat with)" >app.yaml
		check_fails "$name: $clash" 1 "$SBUILD" app.yaml
		check_said "app.yaml:[45]:[0-9]+: clash.* is a .*, but /(etc/passwd|usr) is a "
		check_fails "$name: $clash, in a plan" 1 "$SBUILD" plan app.yaml
	done
done
