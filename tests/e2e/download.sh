#!/bin/sh
# Where downloads may lead, and how long they may take: in a network of its
# own, in which one server has all addresses.
. tests/e2e/lib.sh
need_root
need unshare ip python3 runc
command -v git >/dev/null || skip "git is not installed"

cat >server.py <<'EOR'
import http.server, socket, sys, threading, time, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("asked", "a") as log:
            print(self.headers["Host"], self.path[:40], file=log)
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", urllib.parse.unquote(self.path[4:]))
            self.end_headers()
            return
        if self.path.startswith("/link.git/"):
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/" + self.path[10:])
            self.end_headers()
            return
        if self.path == "/flaky" and not hasattr(Handler, "failed"):
            Handler.failed = True
            self.send_error(503)
            return
        self.send_response(200)
        slow = self.path.startswith("/slow")
        self.send_header("Content-Length", "60" if slow else "6")
        if self.path.startswith("/slow.git/"):
            self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        self.end_headers()
        for byte in bytes(60) if slow else b"secret":
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if slow:
                time.sleep(0.5)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    def handle_error(self, *args):
        pass
names = Server(("::", 53), Handler)
threading.Thread(target=names.serve_forever, daemon=True).start()
server = Server(("::", 80), Handler)
open("ready", "w").close()
server.serve_forever()
EOR
busybox_base
cat >asking.yaml <<'EOR'
name: asking
from: base.yaml
layers:
  - name: ask
    network: host
    run: |
      for url in http://198.51.100.7/a http://127.0.0.1/a http://169.254.169.254:53/a http://169.254.169.254/a \
          http://100.100.100.200/a http://168.63.129.16/a 'http://[fd00:ec2::254]/a' 'http://[fd00:ec2::23]/a' \
          'http://[fd00:c1::a9fe:a9fe]/a' 'http://[fd00:42::42]/a' 'http://[fd20:ce::254]/a' 'http://[2001:db8::7]/a' \
          'http://[64:ff9b::a9fe:a9fe]/a' 'http://[64:ff9b:1::6464:64c8]/a' 'http://[2002:a9fe:a9fe::1]/a' \
          'http://[64:ff9b::c633:6407]/a' 'http://[2002:c633:6407::1]/a'; do
        echo "$url $(timeout 3 wget -q -O - "$url" 2>&1 | head -n 1)"
      done >/seen
EOR
test_user
cp -a rootfs base.yaml home/
printf 'name: asking\nfrom: base.yaml\nlayers:\n  - {name: x, download: {url: "http://198.51.100.7/x", sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b, to: /x}}\n  - {name: y, steps: [{download: {url: "http://198.51.100.7/x", sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b, to: /y}}, {run: "cmp /x /y"}]}\n' >home/asking.yaml
cat >inside.sh <<'EOR'
set -eu
as_user() { setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups --reset-env env "$@"; }
ip link set lo up
for address in 169.254.169.254 10.1.2.3 198.51.100.7 203.0.113.9 100.100.100.200 168.63.129.16; do ip addr add $address/32 dev lo; done
for address in fd00:ec2::254 fd00:ec2::23 fd00:c1::a9fe:a9fe fd00:42::42 fd20:ce::254 2001:db8::7 64:ff9b::a9fe:a9fe \
	64:ff9b:1::6464:64c8 2002:a9fe:a9fe::1 64:ff9b::c633:6407 2002:c633:6407::1; do
	ip -6 addr add $address/128 dev lo
done
printf '127.0.0.1 localhost\n169.254.169.254 metadata.example.com\n10.1.2.3 inner.example.com\n203.0.113.9 files.example.com\n' >hosts
mount --bind hosts /etc/hosts
python3 server.py & server=$!
trap 'kill $server' EXIT
i=0
while [ ! -e ready ] && [ $i -lt 100 ]; do sleep 0.1 && i=$((i + 1)); done
n=0
try() { # URL
	n=$((n + 1))
	printf 'name: d%s\nfrom: scratch\nlayers: [{name: x, download: {url: "%s", to: /x, sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b}}]\n' $n "$1" >d$n.yaml
	rm -rf "$SBUILD_STORE/sbuild/caches/downloads"
	status=0
	"$SBUILD" d$n.yaml --no-cache >out 2>&1 || status=$?
	echo "$status $1 $(grep -o 'refused\|limit\|takes longer' out | head -n 1)"
}
for url in http://169.254.169.254/x http://metadata.example.com/x http://2852039166/x http://0xA9FEA9FE/x \
	http://0251.0376.0251.0376/x http://100.100.100.200/x; do
	try "$url"
	try "http://198.51.100.7/to?$url"
	try "http://127.0.0.1/to?$url"
done
for url in 'http://[::ffff:169.254.169.254]/x' 'http://[fd00:ec2::254]/x' 'http://[64:ff9b::a9fe:a9fe]/x' \
	'http://[fd00:c1::a9fe:a9fe]/x' 'http://[fd00:42::42]/x'; do
	try "http://198.51.100.7/to?$url"
done
for url in http://127.0.0.1/x http://localhost/x 'http://[::1]/x' http://0/x http://10.1.2.3/x http://inner.example.com/x; do
	try "http://files.example.com/to?$url"
	try "http://198.51.100.7/to?http://files.example.com/to%3F$url"
done
echo "then"
cp asked asked_first
for url in http://127.0.0.1/x http://10.1.2.3/x http://198.51.100.7/x \
	'http://198.51.100.7/to?http://[2001:db8::7]/x' http://198.51.100.7/to?http://203.0.113.9/x http://inner.example.com/to?http://10.1.2.3/y http://198.51.100.7/flaky; do
	try "$url"
done
# What git steps ask, of a server that may be anybody's.
git_step() { # URL WHAT
	n=$((n + 1)) status=0
	printf 'name: d%s\nfrom: scratch\nlayers: [{name: x, git: {url: "%s", %s, to: /x}}]\n' $n "$1" "$2" >d$n.yaml
	start=$(date +%s)
	"$SBUILD" d$n.yaml --no-cache >out 2>&1 || status=$?
	echo "git $status $(($(date +%s) - start))"
}
git_steps() { # URL…
	for url; do
		git_step "$url" "tag: v1"
		git_step "$url" "commit: 4e8f0a7d2c1b9e6f5a3d8c7b6a5f4e3d2c1b0a99"
	done
}
git_steps http://169.254.169.254/x.git http://2852039166/x.git
chown -R "$user" home
status=0
as_user -C "$T/home" "$SBUILD" asking.yaml --store "$T/home/store" >out 2>&1 || status=$?
echo "user $status"
# A step that has this network; port 53 stays, as some clouds have their name servers there.
"$SBUILD" asking.yaml --no-cache >/dev/null 2>err || cat err
"$SBUILD" export asking:latest --format rootfs -o - 2>/dev/null | tar -xOf - seen >seen
mkdir -p config/sbuild
printf 'limits: {download: 2s}\n' >config/sbuild/config.yaml
export XDG_CONFIG_HOME="$T/config"
start=$(date +%s)
try http://198.51.100.7/slow
cp out slow
echo "took $(($(date +%s) - start))"
git_step http://metadata.example.com/x.git "tag: v1"
git_steps http://198.51.100.7/link.git
grep -c '^198.51.100.7 /link.git' asked >git_asked || :
git_step http://198.51.100.7/slow.git "tag: v1"
cp out slow_tag
git_step http://198.51.100.7/slow.git "commit: 4e8f0a7d2c1b9e6f5a3d8c7b6a5f4e3d2c1b0a99"
cp out slow_commit
EOR
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy no_proxy 2>/dev/null || :
user="$user" T="$T" unshare --net --mount --propagation private sh inside.sh >results 2>err || cat err results
sed -n '/^then$/q; p' results >refused
sed -n '/^then$/,$p' results >allowed
check_equal "every way to the local link and inwards was tried" 35 "$(grep -c . refused)"
check_equal "each is refused" "" "$(grep -v '^5 .* refused$' refused)"
check_equal "all others work" 7 "$(grep -c '^0 http' allowed)"
check_equal "and nobody was asked" "" "$(grep -v -e '^198.51' -e '^127.0.0.1 /to' -e '^files' asked_first)"
check_equal "a user's downloads work" "user 0" "$(grep ^user results)"
check_equal "a step with the network reaches all" 6 "$(grep -c ' secret' seen)"
if command -v git >/dev/null; then
	check_equal "git steps end, each in time" 9 "$(grep -c '^git [45] [0-9]$' results)"
	check "a redirect was followed" [ "$(cat git_asked)" -ge 2 ]
	check "a name that is not told in time" has slow_tag 'asking http://198.51.100.7/slow.git for refs/tags/v1: no answer within 2 seconds'
	check "a commit that does not come in time" has slow_commit 'fetching the commit 4e8f.* took longer than 2'
	check "and it is said which setting that is" has slow_commit 'limits: .download'
	git_steps=1
fi
if [ -e /sys/fs/cgroup/cgroup.procs ] || [ -e /sys/fs/cgroup/unified/cgroup.procs ]; then
	check_equal "but where clouds keep credentials" "" "$(grep -e '169.254.169.254/a' -e 100.100 -e 168.63 -e '\[fd' -e a9fe -e 6464 seen | grep secret)"
	[ -z "${git_steps-}" ] || check_equal "and no git asked there" "" "$(grep -e '^169.254.169.254 ' -e '^metadata' asked)"
else
	skip "no control groups of version 2 here"
fi
check "a slow one is ended" grep -q '^5 http://198.51.100.7/slow takes longer' allowed
check "in time" sh -c "[ \"\$(sed -n 's/^took //p' results)\" -lt 10 ]"
check "and it is said which setting that is" has slow 'limits: .download'
