# A zip is unpacked as a tar is, and what is no archive is called what it is.
. tests/faults/lib.sh
need_root
need python3 runc
bb
mkdir www
python3 - <<'END'
import zipfile
with zipfile.ZipFile("www/a.zip", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("top/file.txt", "hello\n")
    run = zipfile.ZipInfo("top/run.sh")
    run.create_system, run.external_attr = 3, 0o100755 << 16
    z.writestr(run, "#!/bin/sh\n")
with zipfile.ZipFile("www/evil.zip", "w") as z:
    z.writestr("../evil", "x")
open("www/model.7z", "wb").write(b"7z\xbc\xaf\x27\x1c" + bytes(100))
END
port=$(free_port)
python3 -m http.server -d www -b 127.0.0.1 "$port" >server.log 2>&1 &
until curl -so /dev/null "http://127.0.0.1:$port/"; do sleep 0.1; done
recipe() { # FILE
	printf 'name: app\nfrom: bb.yaml\nlayers: [{name: a, download: {url: "http://127.0.0.1:%s/%s", sha256: %s, to: /opt, extract: true, strip: 1}}]\n' \
		"$port" "$1" "$(sha256sum "www/$1" | cut -d' ' -f1)" >app.yaml
}
recipe a.zip
check "a zip is unpacked" build app
tree app:latest app
check_equal "with its content" hello "$(cat app/opt/file.txt)"
check_equal "and its modes" "600 755" "$(stat -c %a app/opt/file.txt app/opt/run.sh | tr '\n' ' ' | sed 's/ $//')"
recipe evil.zip
check_fails "a zip that leads out of its place" 6 "$SBUILD" build app.yaml
recipe model.7z
check_fails "a 7z archive" 6 "$SBUILD" build app.yaml
check_said 'it is a 7z archive'
