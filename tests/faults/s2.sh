# The base's PATH can be extended, in env: and by path:, and is never there literally.
. tests/faults/lib.sh
need_root
need jq runc
bb
printf 'name: base\nfrom: bb.yaml\nimage: {env: {PATH: "/base:/bin"}}\n' >base.yaml
printf 'name: app\nfrom: base.yaml\nlayers: [{name: a, run: "echo $PATH >/seen"}]\nimage: {env: {PATH: "/opt/bin:$PATH", PRICE: "$$5"}}\n' >app.yaml
printf 'name: short\nfrom: base.yaml\nimage: {path: [/opt/bin]}\n' >short.yaml
printf 'name: braces\nfrom: base.yaml\nimage: {env: {PATH: "/opt/bin:${PATH}"}}\n' >braces.yaml
value() { "$SBUILD" inspect "$1" --json | jq -r '.config.Env[]' | sed -n "s/^$2=//p"; }
check "env: PATH with \$PATH is built" build app
check_equal "\$PATH is the base's" /opt/bin:/base:/bin "$(value app:latest PATH)"
tree app:latest app
check_equal "and a step sees the same" /opt/bin:/base:/bin "$(cat app/seen)"
check_equal "\$\$ is a dollar sign" '$5' "$(value app:latest PRICE)"
check "\${PATH} is built" build braces
check_equal "and is the base's, too" /opt/bin:/base:/bin "$(value braces:latest PATH)"
check "path: is built" build short
check_equal "and stands before the base's" /opt/bin:/base:/bin "$(value short:latest PATH)"
