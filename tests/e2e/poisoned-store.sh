#!/bin/sh
# An honest recipe, built in a store that a hostile build had used and in a fresh one, is the same image;
# nothing that it reads was changed. As root and as a user. And what a bootstrap's scripts are not.
. tests/e2e/lib.sh
need_root
need mmdebstrap runc setpriv unshare python3
test_user

cat >base.yaml <<'EOR'
name: base
from: {debian: bookworm}
layers: [{name: mark, run: "mkdir /made"}]
EOR
cat >honest.yaml <<'EOR'
name: honest
from: base.yaml
layers:
  - name: packages
    steps:
      - apt: [hello]
      - run: {script: "ls -A /var/cache/own /root/.cache/pip >/seen; ls / >>/seen; hello >>/seen"}
        cache: [/var/cache/own, /root/.cache/pip]
EOR
# Its own apt-get is at work in its apt step, with all that such a step sees.
cat >hostile.yaml <<'EOR'
name: hostile
from: base.yaml
layers:
  - name: trap
    steps:
      - run: "mv /usr/bin/apt-get /usr/bin/apt-get.real"
      - copy: {from: trap, to: /usr/bin/apt-get, mode: "0755"}
  - name: sprung
    steps:
      - apt: [hello]
        cache: [/root/.cache/pip, /var/cache/own]
      - run: "echo poison >/root/.cache/pip/poison; echo poison >/var/cache/own/poison"
        cache: [/root/.cache/pip, /var/cache/own]
EOR
cat >trap <<'EOR'
#!/bin/sh
apt-get.real "$@" || exit
case " $* " in *" install "*) ;; *) exit 0 ;; esac
cd /var/cache/apt/archives || exit
for real in hello_*.deb; do
	size=$(stat -c %s "$real")
	mkdir -p /tmp/fake/DEBIAN
	{ dpkg-deb -f "$real" Package Version Architecture Maintainer Description; } >/tmp/fake/DEBIAN/control
	printf '#!/bin/sh\necho poisoned >/poisoned\n' >/tmp/fake/DEBIAN/postinst
	chmod 755 /tmp/fake/DEBIAN/postinst
	dpkg-deb -Zxz -b /tmp/fake /tmp/fake.deb
	rest=$((size - $(stat -c %s /tmp/fake.deb) - 60)) # of another member, which dpkg passes over
	printf '%-16s%-12s%-6s%-6s%-8s%-10s`\n' _rest 0 0 0 100644 $rest >>/tmp/fake.deb
	head -c $rest /dev/zero >>/tmp/fake.deb
	cat /tmp/fake.deb >"$real" # into the very file
	[ "$(stat -c %s "$real")" = "$size" ] || exit 9
	echo "padded $real to $size bytes"
done
for list in /var/lib/apt/lists/*_Packages; do printf 'X' | dd of="$list" bs=1 seek=100 conv=notrunc status=none; done
touch -d 2040-01-01 /var/lib/apt/lists/* # nothing is to be fetched anew
for other in *.deb; do # and what was there before
	[ "$other" = "$real" ] || printf 'XXXX' | dd of="$other" bs=1 seek=200 conv=notrunc status=none
done
exit 0
EOR

# A step that has this machine's network must not speak to its daemons, whose sockets have no file.
cat >listen.py <<'EOR'
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind("\0" + sys.argv[1])
server.listen()
open("listening", "w").close()
while True:
    server.accept()[0].close()
EOR
cat >daemon.yaml <<EOR
name: daemon
from: base.yaml
layers:
  - name: ask
    network: host
    run: |
      perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); print connect(S, pack_sockaddr_un("\0$NAME-$$")) ? "connected\n" : "refused\n"' >/asked
EOR

# What other builds read: all but logs, locks, and what only says who is alive or when.
snapshot() { # STORE
	(cd "$1" && find blobs sbuild/records sbuild/trees sbuild/l sbuild/contents sbuild/listings sbuild/origins \
		sbuild/caches sbuild/secret-key sbuild/runtime.json -type f ! -name '*.lock' -exec sha256sum {} + 2>/dev/null | sort)
}
unchanged() { # SNAPSHOT STORE: what was there is there and the same
	snapshot "$2" >now
	comm -23 "$1" now >changed
	[ ! -s changed ] || { head -n 20 changed && false; }
}
export_file() { # IMAGE FILE [COMMAND…]
	image=$1 file=$2
	shift 2
	"$@" "$SBUILD" export "$image" --format rootfs -o - 2>/dev/null | tar -xOf - "$file" 2>/dev/null
}

"$SBUILD" honest.yaml >fresh 2>err || { skip_without_mirror err && tail -n 60 err; }
check "the honest recipe is built in a fresh store" grep -q '^sha256:' fresh
snapshot "$SBUILD_STORE" >before
check "there is something to change" grep -q sbuild/caches/ before
check "the hostile one is built" "$SBUILD" hostile.yaml
check "and did what it wanted to" grep -q 'padded hello_' "$(ls -t "$SBUILD_STORE"/sbuild/logs/*-hostile-sprung-* | head -n 1)"
check "nothing of the store was changed by it" unchanged before "$SBUILD_STORE"

"$SBUILD" honest.yaml --no-cache >used 2>err || tail -n 60 err
check_equal "the honest image is the same as in a fresh store" "$(cat fresh)" "$(cat used)"
export_file honest:latest seen >seen || :
check "its package ran" grep -q 'Hello, world' seen
check "and no other" sh -c '! grep -q poison seen'
check "kept packages were used" grep -q 'Need to get 0 B' err
printf 'name: bare\nfrom: {debian: bookworm, packages: [hello]}\nlayers: [{name: look, run: "ls / >/seen; hello >>/seen"}]\n' >bare.yaml
"$SBUILD" bare.yaml >/dev/null 2>err || tail -n 60 err
export_file bare:latest seen >seen || :
check "a bootstrap with that package runs it" grep -q 'Hello, world' seen
check "and no other" sh -c '! grep -q poison seen'

python3 listen.py "$NAME-$$" &
listener=$!
i=0
while [ ! -e listening ] && [ $i -lt 100 ]; do sleep 0.1 && i=$((i + 1)); done
"$SBUILD" daemon.yaml >/dev/null 2>err || tail -n 60 err
kill $listener
if python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 6)'; then
	check_equal "a step can't speak to a daemon of this machine" refused "$(export_file daemon:latest asked)"
else
	skip "this kernel has no Landlock that scopes sockets"
fi

# The same against a user's builds, on root's base.
"$SBUILD" base.yaml >/dev/null 2>err || cat err
"$SBUILD" export base:latest --format oci-archive -o home/base.tar 2>/dev/null
for recipe in honest hostile; do
	sed 's,^from: base.yaml,from: {image: "oci-archive:base.tar"},' $recipe.yaml >home/$recipe.yaml
done
cp trap home/
chown -R "$user" home/base.tar home/*.yaml home/trap
by_user() { as_user -C "$T/home" "$SBUILD" "$@" --store "$T/home/store"; }
by_user honest.yaml >fresh 2>err || tail -n 60 err
check "a user builds the honest recipe" grep -q '^sha256:' fresh
snapshot home/store >before
check "and the hostile one" by_user hostile.yaml
check "nothing of the user's store was changed by it" unchanged before home/store
by_user honest.yaml --no-cache >used 2>err || tail -n 60 err
check_equal "the user's honest image is the same, too" "$(cat fresh)" "$(cat used)"

# Recipes that say so share a directory, and only these.
busybox_base && mv base.yaml bb.yaml
sed -i 's/^name: base/name: bb/' bb.yaml
for recipe in one two three; do
	shared=$([ $recipe = three ] || echo ', shared: things')
	printf 'name: %s\nfrom: bb.yaml\nlayers:\n  - name: x\n    run: "ls /things >/seen; touch /things/%s"\n    cache: [{path: /things%s}]\n' \
		$recipe $recipe "$shared" >$recipe.yaml
	"$SBUILD" $recipe.yaml >/dev/null 2>err || cat err
done
check_equal "who names a directory so finds what others left" "one" "$(export_file two:latest seen)"
check_equal "who doesn't finds nothing" "" "$(export_file three:latest seen)"

# What runs where mmdebstrap does, with the scripts of packages below it: in its place a program that
# looks around.
mkdir bin
cat >bin/mmdebstrap <<EOR
#!/bin/sh
[ -d /tmp/root ] && [ -d /tmp/lists ] || exit 2
echo "ids: \$(tr -s ' ' </proc/self/uid_map | tr '\n' ,)"
mknod /tmp/root/disk b 8 0 2>/dev/null && echo "BAD a device"
mkdir /tmp/root/proc && mount -t proc proc /tmp/root/proc || echo "BAD no proc"
cat /etc/shadow 2>/dev/null && echo "BAD shadow"
ls "$SBUILD_STORE/sbuild" 2>/dev/null && echo "BAD the store"
ls "$T" 2>/dev/null | grep -q base.yaml && : >"$T/probe" && echo "BAD the project"
kill -0 $$ 2>/dev/null && echo "BAD a process"
ls /tmp | tr '\n' ' '
echo "done"
exit 1
EOR
chmod 755 bin/mmdebstrap
printf 'name: probe\nfrom: {debian: bookworm, packages: [none-such]}\nlayers: []\n' >probe.yaml
check_fails "a bootstrap that looks around" '[0-9]*' unshare --mount --propagation private sh -c \
	'mount --bind bin/mmdebstrap "$(command -v mmdebstrap)" && exec "$SBUILD" probe.yaml'
check_said 'ids: +0 [1-9][0-9]* 65536'
check_said 'apt lists root.*done'
check "it finds nothing that is not its own" sh -c '! grep BAD said'

# Scripts are root of the new root: what sbuild does there afterwards must not lead out of it.
mkdir -p victim/apt/apt.conf.d && touch victim/resolv.conf victim/hostname victim/apt/apt.conf.d/99mmdebstrap
printf '#!/bin/sh\nln -s "%s/victim" /tmp/root/etc\nln -s "%s/victim" /tmp/root/dev\n' "$T" "$T" >bin/mmdebstrap
check_fails "a bootstrap that leaves links to this machine" '[0-9]*' unshare --mount --propagation private sh -c \
	'mount --bind bin/mmdebstrap "$(command -v mmdebstrap)" && exec "$SBUILD" probe.yaml'
check_equal "takes nothing of it away" "apt apt/apt.conf.d apt/apt.conf.d/99mmdebstrap hostname resolv.conf" \
	"$(cd victim && find . -mindepth 1 | sed 's,^\./,,' | sort | paste -sd ' ' -)"

# Nor is another bootstrap to believe what they left in the lists.
cat >bin/mmdebstrap <<'EOR'
#!/bin/sh
cd /tmp/lists && mkdir -p /tmp/root/etc/apt || exit 2
[ ! -e x_Packages ] || { echo "BAD a list"; exit 1; }
for release in *_InRelease; do
	[ "$(stat -c %Y "$release")" = 1 ] || [ "$release" = '*_InRelease' ] || { echo "BAD a release that is believed"; exit 1; }
done
printf 'Package: x\n' >x_Packages
printf 'Package: y\n' >y_main_Packages
printf 'SHA256:\n %s 11 main/Packages\n' "$(sha256sum y_main_Packages | cut -d ' ' -f 1)" >y_InRelease
touch -d 2040-01-01 *
EOR
for name in poisons honest2; do
	printf 'name: %s\nfrom: {debian: bookworm, components: [%s]}\nlayers: []\n' $name $name >$name.yaml
	check "a bootstrap after one that left lists ($name)" unshare --mount --propagation private sh -c \
		'mount --bind bin/mmdebstrap "$(command -v mmdebstrap)" && exec "$SBUILD" "$1.yaml" --no-cache' sh $name
done

# A mirror may be anybody: what it answers without an end, or sends elsewhere, ends with the bootstrap.
cat >mirror.py <<'EOR'
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        how = self.path.split("/")[1]
        if how == "endless":
            self.send_response(200); self.end_headers()
            self.wfile.write(b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n")
            while True: self.wfile.write(b"Origin: Debian\n" * 4096)
        self.send_response(302)
        self.send_header("Location", "file:///etc/passwd" if how == "file" else self.path)
        self.end_headers()
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *args): pass
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
EOR
mirror=$(free_port)
python3 mirror.py "$mirror" &
until python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])))' "$mirror" 2>/dev/null; do sleep 0.1; done
for how in endless file loop; do
	settings <<-END
		mirrors: {debian: "http://127.0.0.1:$mirror/$how"}
	END
	printf 'name: %s\nfrom: {debian: bookworm}\nlayers: []\n' $how >$how.yaml
	check_fails "a mirror that answers so: $how" 4 timeout 60 "$SBUILD" $how.yaml --no-cache --progress plain
	check "nothing of this machine comes of it" sh -c '! grep -q root: said'
done
