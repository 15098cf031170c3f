#!/bin/sh
# Steps in a network that inspects TLS: a proxy ends every connection itself, with an authority that only the
# settings know. curl, git, npm and cargo of steps believe it; images and the store have nothing of it.
. tests/e2e/lib.sh
need_root
need python3 openssl curl git crun
cat >proxy.py <<'EOP'
import http.server, os, socketserver, ssl, subprocess, sys, threading
lock = threading.Lock()
def certificate(host):
    path = f"certs/{host}"
    with lock:
        if not os.path.exists(path + ".pem"):
            open(path + ".ext", "w").write(f"subjectAltName=DNS:{host}\n")
            subprocess.run(f"openssl req -new -key tls.key -subj /CN={host} -out {path}.csr && openssl x509 -req -in {path}.csr -CA ca.pem "
                           f"-CAkey ca.key -CAcreateserial -days 2 -extfile {path}.ext -out {path}.pem", shell=True, check=True, stderr=subprocess.DEVNULL)
    return path + ".pem"
class Site(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def translate_path(self, path): return f"sites/{self.server}" + path.partition("?")[0]
    def log_message(self, *a): print(self.server, self.path, file=open("asked", "a"))
class Proxy(socketserver.BaseRequestHandler):
    def handle(self):
        head = b""
        while b"\r\n\r\n" not in head:
            got = self.request.recv(4096)
            if not got: return
            head += got
        if not head.startswith(b"CONNECT "): return
        host = head.split()[1].decode().rpartition(":")[0]
        self.request.sendall(b"HTTP/1.1 200 inspected\r\n\r\n")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(host), "tls.key")
        try:
            with context.wrap_socket(self.request, server_side=True) as inner: Site(inner, self.client_address, host)
        except OSError as e: print(host, "is not believed", file=open("asked", "a"))
class Server(socketserver.ThreadingTCPServer): allow_reuse_address = daemon_threads = True
Server(("127.0.0.1", int(sys.argv[1])), Proxy).serve_forever()
EOP
mkdir -p certs sites/web.example.com sites/registry.npmjs.org sites/index.crates.io/he/ll sites/git.example.com
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=inspector -keyout ca.key -out ca.pem 2>/dev/null
openssl genrsa -out tls.key 2048 2>/dev/null
echo inspected >sites/web.example.com/page
git init -q --bare sites/git.example.com/a.git && git -C sites/git.example.com/a.git update-server-info
echo '{"name":"tiny","dist-tags":{"latest":"1.2.3"},"versions":{"1.2.3":{"name":"tiny","version":"1.2.3","dist":{"tarball":"https://registry.npmjs.org/t.tgz"}}}}' >sites/registry.npmjs.org/tiny
echo '{"dl":"https://static.crates.io/crates","api":"https://crates.io"}' >sites/index.crates.io/config.json
printf '{"name":"hello","vers":"1.0.0","deps":[],"cksum":"%064d","features":{},"yanked":false}\n' 0 >sites/index.crates.io/he/ll/hello
proxy=$(free_port)
python3 proxy.py "$proxy" 2>proxy.err &
until python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])))' "$proxy" 2>/dev/null; do sleep 0.1; done

busybox_root rootfs
bring curl rootfs
bring git rootfs
core=$(git --exec-path)
mkdir -p "rootfs$core" && cp "$core/git-remote-http" "rootfs$core/git-remote-https" && ln -s /bin/git "rootfs$core/git"
rm rootfs/bin/wget 2>/dev/null || :
ldd "$core/git-remote-http" | sed -nE 's/.*=> (\/[^ ]+) \(0x.*/\1/p' | while read -r library; do
	mkdir -p "rootfs$(dirname "$library")" && cp -L "$library" "rootfs$library"
done
programs="curl git"
npm=$(readlink -f "$(command -v npm)" 2>/dev/null | sed 's,/bin/npm-cli.js$,,')
if [ -d "$npm/lib" ] && command -v node >/dev/null; then
	bring node rootfs
	mkdir -p rootfs/npm && cp -a "$npm/." rootfs/npm/ && rm -f rootfs/npm/npmrc
	programs="$programs npm"
else
	skip "npm is not installed"
fi
cargo=$(rustup which cargo 2>/dev/null || command -v cargo || :)
if [ -n "$cargo" ] && ldd "$cargo" 2>/dev/null | grep -q libc.so; then
	(PATH=$(dirname "$cargo"):$PATH && bring cargo rootfs)
	# It asks its compiler for little, before it fetches.
	printf '#!/bin/sh\necho "rustc 1.70.0 (x 2023-01-01)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.70.0\n"\n' >rootfs/bin/rustc && chmod 755 rootfs/bin/rustc
	mkdir -p rootfs/crate/src && printf '[package]\nname = "w"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nhello = "1"\n' >rootfs/crate/Cargo.toml && touch rootfs/crate/src/lib.rs
	programs="$programs cargo"
else
	skip "cargo is not installed"
fi
printf 'name: base\nfrom: scratch\nlayers: [{name: root, copy: {from: rootfs, to: /}}]\n' >base.yaml

command_of() {
	case $1 in
	curl) echo 'curl -sS https://web.example.com/page' ;;
	git) echo 'git ls-remote https://git.example.com/a.git' ;;
	npm) echo 'node /npm/bin/npm-cli.js view tiny version --fetch-retries=0' ;;
	cargo) echo 'cd /crate && cargo generate-lockfile' ;;
	esac
}
recipe() { # PROGRAM
	printf 'name: %s\nfrom: base.yaml\nlayers: [{name: ask, network: host, run: "%s"}]\n' "$1" "$(command_of "$1")" >"$1.yaml"
}
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
export https_proxy="http://127.0.0.1:$proxy" HTTPS_PROXY="http://127.0.0.1:$proxy"
for program in $programs; do
	recipe "$program"
	check_fails "$program believes nobody whom it does not know" 4 "$SBUILD" "$program.yaml"
done
settings <<END
steps: {authorities: $T/ca.pem}
END
mark=$(sed -n 3p ca.pem)
for program in $programs; do
	: >asked
	check "$program believes whom the settings name" "$SBUILD" "$program.yaml" --progress plain
	check "it was inspected" grep -q "^[a-z.]* /" asked
	check "the image has nothing of it" sh -c '! "$SBUILD" export "$1" --format rootfs -o - | grep -aqF "$2"' sh "$program" "$mark"
done
check_equal "nor has the store" "" "$(grep -rlF "$mark" "$SBUILD_STORE")"
check_store "after all of this"
