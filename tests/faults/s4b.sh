# An archive in which a kept name is a hard link to one that strip: drops: it was left out in silence.
. tests/faults/lib.sh
need_root
need python3
bb
mkdir www
python3 - <<'END'
import io, tarfile
def make(name, members):
    with tarfile.open("www/" + name, "w") as tar:
        for path, kind, value in members:
            info = tarfile.TarInfo(path)
            info.mode = 0o755 if kind == "dir" else 0o644
            if kind == "file":
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
                continue
            info.type = {"dir": tarfile.DIRTYPE, "hard": tarfile.LNKTYPE, "link": tarfile.SYMTYPE}[kind]
            info.linkname = value
            tar.addfile(info)
make("hard.tar", [("shared", "file", b"content"), ("pkg/", "dir", ""), ("pkg/kept", "hard", "shared"), ("pkg/other", "file", b"other")])
make("within.tar", [("pkg/", "dir", ""), ("pkg/a", "file", b"content"), ("pkg/b", "hard", "pkg/a")])
END
(cd www && exec python3 -u -m http.server --bind 127.0.0.1 0) >www.out 2>&1 &
server=$!
cleanup() { kill $server; }
for _ in $(seq 100); do
	! grep -q port www.out || break
	sleep 0.1
done
port=$(sed -nE 's/.* port ([0-9]+).*/\1/p' www.out)
recipe() { # ARCHIVE STRIP
	printf 'name: app\nfrom: bb.yaml\nlayers:\n  - name: unpacked\n    download: {url: "http://127.0.0.1:%s/%s", sha256: %s, to: /opt, extract: true, strip: %s}\n' \
		"$port" "$1" "$(sha256sum <"www/$1" | cut -c1-64)" "$2" >app.yaml
}
recipe hard.tar 1
check_fails "what the link needs is dropped" 1 "$SBUILD" app.yaml
check_said 'app.yaml:4:([0-9]+:)? .*pkg/kept is a hard link to shared, which strip: 1 leaves out'
recipe hard.tar 0
check "without strip" build app
tree app:latest whole
check_equal "it is there" content "$(cat whole/opt/pkg/kept)"
recipe within.tar 1
check "a link to what is kept" build app
tree app:latest within
check_equal "is there" content "$(cat within/opt/b)"
recipe within.tar 2
check_fails "nothing is left" 1 "$SBUILD" app.yaml
check_said 'nothing in it is left with strip: 2'
