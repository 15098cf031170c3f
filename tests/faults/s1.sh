# Steps run in the image's workdir, which is there.
. tests/faults/lib.sh
need_root
need runc
bb
printf 'name: app\nfrom: bb.yaml\nlayers: [{name: a, run: "echo data >out.txt"}]\nimage: {workdir: /srv/app}\n' >app.yaml
check "a step runs in a workdir that nothing made" build app
tree app:latest app
check_equal "what it wrote is there" data "$(cat app/srv/app/out.txt 2>/dev/null)"
check_equal "and nowhere else" "" "$(ls app/out.txt 2>/dev/null)"
check_equal "the directory is root's, 0755" "0:0 755" "$(stat -c '%u:%g %a' app/srv/app)"
echo x >f
printf 'name: pure\nfrom: bb.yaml\nlayers: [{name: a, copy: {from: f, to: /f}}]\nimage: {workdir: /srv/app}\n' >pure.yaml
check "an image of copies alone has one too" build pure
check "the directory is in it" sh -c "'$SBUILD' export pure:latest --format rootfs -o - | tar -tf - | grep -q srv/app"
