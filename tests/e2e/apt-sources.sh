#!/bin/sh
# Archives of packages beside the distribution's own: made, signed and served here. What the wrong
# key signed, or none, is refused; nothing of an archive stays in the image that is not kept.
. tests/e2e/lib.sh
need_root
need mmdebstrap python3 jq runc zstd curl gpg dpkg-deb apt-ftparchive
cat >base.yaml <<'EOR'
name: base
from: {debian: bookworm}
layers: []
EOR
[ -z "${APT_STORE:-}" ] || cp -a "$APT_STORE" store
"$SBUILD" build base.yaml >base.out 2>&1 || { skip_without_mirror base.out && cat base.out && exit 1; }

# ---- keys and archives ----
mkdir -m 700 gnupg && export GNUPGHOME=$T/gnupg
for who in good bad; do
	gpg --batch --quiet --passphrase '' --quick-gen-key "$who@example.com" rsa2048 sign never 2>/dev/null
done
mkdir -p keys www
gpg --export --armor good@example.com >keys/good.asc
gpg --export good@example.com >keys/good.gpg
gpg --export --armor bad@example.com >keys/bad.asc
gpg --batch --passphrase '' --pinentry-mode loopback --export-secret-keys --armor bad@example.com >keys/secret.asc 2>/dev/null
cp gnupg/pubring.kbx keys/box.kbx
echo '<html>not here</html>' >keys/page.asc
deb() { # DIRECTORY NAME VERSION
	rm -rf pkg && mkdir -p "$1" "pkg/DEBIAN" "pkg/opt/$2"
	echo "$3" >"pkg/opt/$2/version"
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: test\n' "$2" "$3" >pkg/DEBIAN/control
	dpkg-deb --root-owner-group -b pkg "$1/$2_$3_all.deb" >/dev/null
}
sign() { # RELEASE-DIRECTORY KEY
	rm -f "$1/InRelease" "$1/Release.gpg"
	gpg --batch --quiet --yes -u "$2@example.com" --clearsign -o "$1/InRelease" "$1/Release"
}
suite() { # ARCHIVE KEY: www/ARCHIVE with a suite "stable" and its component main
	(cd "www/$1" && mkdir -p dists/stable/main/binary-amd64 dists/stable/main/binary-all &&
		apt-ftparchive packages pool >dists/stable/main/binary-amd64/Packages &&
		gzip -kf dists/stable/main/binary-amd64/Packages &&
		apt-ftparchive -o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Architectures="amd64 arm64 all" \
			-o APT::FTPArchive::Release::Components=main release dists/stable >Release && mv Release dists/stable/ && rm dists/stable/main/binary-amd64/Packages)
	sign "www/$1/dists/stable" "$2"
}
deb www/a/pool hello-a 1.0 && suite a good
deb www/flat hello-flat 1.0
(cd www/flat && apt-ftparchive packages . >Packages && gzip -k Packages && apt-ftparchive release . >Release)
sign www/flat good
deb www/wrong/pool hello-wrong 1.0 && suite wrong bad
cp -a www/a www/private
cat >server.py <<'EOP'
import base64, functools, http.server, sys
want = "Basic " + base64.b64encode(b"user:pass-word").decode()
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/private/") and self.headers.get("Authorization") != want:
            self.send_response(401); self.send_header("WWW-Authenticate", "Basic"); self.end_headers(); return
        super().do_GET()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), functools.partial(Handler, directory="www")).serve_forever()
EOP
port=$(free_port)
python3 server.py "$port" >/dev/null 2>access &
until curl -so /dev/null "http://127.0.0.1:$port/"; do sleep 0.1; done
url=http://127.0.0.1:$port

recipe() { # STEP
	printf 'name: app\nfrom: base.yaml\nlayers: [{name: packages, %s}]\n' "$1" >app.yaml
}
built() { # STEP
	recipe "$1"
	"$SBUILD" build app.yaml --progress plain --metadata-file meta >app.out 2>&1 || { tail -n 40 app.out; return 1; }
}
top() { zstd -dcq "$SBUILD_STORE/blobs/sha256/$(jq -r '.layers[-1].digest[7:]' meta)"; }
refused() { # WHAT STATUS STEP PATTERN
	recipe "$3"
	check_fails "$1" "$2" "$SBUILD" build app.yaml --progress plain
	check_said "$4"
}
plan() { "$SBUILD" plan app.yaml >plan.out 2>&1 && has plan.out "$1"; }

both="apt: {packages: [hello-a, hello-flat], sources: [{url: $url/a, suite: stable, key: keys/good.asc},
  {url: $url/flat, suite: ./, key: keys/good.gpg}]}"
check "two archives, one without suites, an armored key and a binary one" built "$both"
check_equal "a package of the first" 1.0 "$(top | tar -xO opt/hello-a/version)"
check_equal "and of the second" 1.0 "$(top | tar -xO opt/hello-flat/version)"
check_equal "nothing of the archives is in the layer" "" \
	"$(top | tar -t | grep -E '^(etc|var/lib/apt/lists|run)/.|/$' | grep -v -x -e opt/ -e tmp/ -e var/ -e 'opt/hello-.*' -e 'var/.*/')"
check "again: nothing to do" plan 'cached +app +packages'
cp -p keys/good.asc kept && echo >>keys/good.asc
check "another key file builds it anew" plan 'keys/good.asc changed'
cp -p kept keys/good.asc
"$SBUILD" build app.yaml --progress plain --no-cache --metadata-file again >app.out 2>&1
check_equal "built anew, it is the same" "$(jq -r '.layers[-1].digest' meta)" "$(jq -r '.layers[-1].digest' again)"
: >access
check "what was fetched before" built "apt: {packages: [hello-a], sources: {url: $url/a, suite: stable, key: keys/good.asc}}"
check_equal "is not fetched again" "" "$(grep '\.deb' access)"

# ---- kept ----
check "an archive that is kept" built "apt: {packages: [hello-a], sources: [{url: $url/a, suite: stable, key: keys/good.asc, keep: true}]}"
top | tar -x -C keys etc/apt 2>/dev/null
check_equal "its entry and its key are in the image" "1 1" \
	"$(ls keys/etc/apt/sources.list.d/*.sources | wc -l) $(ls keys/etc/apt/keyrings/*.asc | wc -l)"
check_equal "the entry names that key" "/$(cd keys && ls etc/apt/keyrings/*.asc)" \
	"$(sed -n 's/^Signed-By: //p' keys/etc/apt/sources.list.d/*.sources)"
cp app.yaml below.yaml && sed -i 's/name: app/name: below/' below.yaml
"$SBUILD" build below.yaml >below.out 2>&1
printf 'name: app\nfrom: below.yaml\nlayers: [{name: more, apt: {packages: [hello-b]}}]\n' >app.yaml
deb www/a/pool hello-b 1.0 && deb www/a/pool hello-a 2.0 && suite a good
check "a recipe above it takes packages of it without a word" "$SBUILD" build app.yaml --progress plain

# ---- with a password ----
echo "machine $url/private login user password pass-word" >auth.conf
recipe "apt: {packages: [hello-a], sources: {url: $url/private, suite: stable, key: keys/good.asc}}, secrets: [{name: auth, to: /etc/apt/auth.conf.d/x.conf}]"
check "an archive that wants a password" "$SBUILD" build app.yaml --progress plain --secret id=auth,src=auth.conf
check_equal "which is in no file of the store" "" "$(grep -rlF pass-word "$SBUILD_STORE")"

# ---- upgrade ----
printf 'name: app\nfrom: below.yaml\nlayers: [{name: more, apt: {upgrade: true}}]\n' >app.yaml
check "upgrade" "$SBUILD" build app.yaml --progress plain --metadata-file meta
check_equal "what was installed is new" 2.0 "$(top | tar -xO opt/hello-a/version)"
deb www/a/pool hello-a 3.0 && suite a good
check "a newer version alone builds nothing anew" plan 'cached +app +more'
check "--no-cache=LAYER does" "$SBUILD" build app.yaml --progress plain --metadata-file meta --no-cache=more
check_equal "and takes it" 3.0 "$(top | tar -xO opt/hello-a/version)"

# ---- refused ----
wrong="apt: {packages: [hello-wrong], sources: [{url: $url/a, suite: stable, key: keys/good.asc}, {url: $url/wrong, suite: stable, key: keys/good.asc}]}"
refused "what another key signed" 4 "$wrong" "$url/wrong stable: it is signed with another key.*gpg --show-keys"
refused "a key is good for its own archive alone" 4 "$(echo "$wrong" | sed 's,good.asc},bad.asc},')" "$url/a stable: it is signed with another key"
printf 'x' >>www/wrong/dists/stable/Release && rm www/wrong/dists/stable/InRelease
refused "what nobody signed" 4 "$(echo "$wrong" | sed 's,/a,/flat,; s,stable,./,')" "$url/wrong stable: (it has no signature|is there such a suite)"
refused "no such suite" 4 "apt: {packages: [hello-a], sources: [{url: $url/a, suite: nowhere, key: keys/good.asc}]}" "is there such a suite"
sed -i 's/^Date:/Dote:/' www/flat/InRelease
refused "what was changed on the way" 4 "apt: {packages: [hello-flat], sources: [{url: $url/flat, suite: ./, key: keys/good.gpg}]}" \
	'its signature is not of what it signs|it has no signature'
refused "a private key" 3 "apt: {packages: [x], sources: [{url: $url/a, suite: stable, key: keys/secret.asc}]}" 'private key, which no image may have'
refused "a web page" 3 "apt: {packages: [x], sources: [{url: $url/a, suite: stable, key: keys/page.asc}]}" 'no public key of OpenPGP'
refused "a keybox" 3 "apt: {packages: [x], sources: [{url: $url/a, suite: stable, key: keys/box.kbx}]}" 'a keybox, which apt does not read'
refused "no file" '[13]' "apt: {packages: [x], sources: [{url: $url/a, suite: stable, key: keys/none.asc}]}" 'keys/none.asc'
ln -s /etc/passwd keys/link.asc
refused "a link" '[13]' "apt: {packages: [x], sources: [{url: $url/a, suite: stable, key: keys/link.asc}]}" 'link'
gpgconf --kill all 2>/dev/null || :
check_store "after all of this"
