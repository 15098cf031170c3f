#!/bin/sh
# The image of one recipe for amd64 and arm64, of Debian's packages: both bootstrapped, one of them emulated; one
# index, which other tools read and run. Takes minutes: run by `make nightly`, and by hand.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/emulation.lib"
. "$TOP/tests/e2e/peers.lib"
. "$TOP/tests/e2e/registry.lib"
need python3 mmdebstrap crun
start_emulation
mkdir src && echo 'print("from", __import__("platform").machine())' >src/main.py
cat >app.yaml <<'END'
name: app
platforms: [linux/amd64, linux/arm64]
from: {debian: bookworm}
layers:
  - {name: python, apt: [python3]}
  - {name: app, copy: {from: src, to: /app}}
  - {name: warm, run: python3 -m compileall -q /app}
image: {cmd: [python3, /app/main.py]}
test:
  - run: python3 -c 'import ssl, sqlite3'
END
kernel() { case $1 in amd64) echo x86_64 ;; arm64) echo aarch64 ;; esac }

began=$(date +%s)
digest=$("$SBUILD" app.yaml --progress plain 2>err) || { skip_without_mirror err && tail -n 60 err; }
note "both images are built in $(($(date +%s) - began)) s"
for platform in amd64 arm64; do
	check_equal "the image for $platform runs" "from $(kernel $platform)" "$("$SBUILD" run app --platform linux/$platform 2>err || tail -n 3 err)"
done
check "the packages of each are its own" sh -c '
	"$SBUILD" run app --platform linux/'$OTHER' dpkg --print-architecture 2>/dev/null | grep -qx '$OTHER
began=$(date +%s)
check_equal "another store makes the same" "$digest" "$("$SBUILD" app.yaml --store other 2>err || tail -n 5 err)"
note "… once more in $(($(date +%s) - began)) s"
echo 'print("changed on", __import__("platform").machine())' >src/main.py
began=$(date +%s)
check "a changed line" "$SBUILD" app.yaml
note "a changed line for both takes $(($(date +%s) - began)) s"

start_registry reg
check "it is pushed" "$SBUILD" push app "$REGISTRY/app:v1" --plain-http
platforms() { grep -oE '"architecture": ?"(amd64|arm64)"' | sort -u | wc -l; }
if have_peer skopeo; then
	check_equal "skopeo reads the index" 2 "$(peer skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/app:v1" | platforms)"
	check "… and copies all of it" peer skopeo copy -q --all --src-tls-verify=false "docker://$REGISTRY/app:v1" oci:copied:app
else
	skip "skopeo is not there"
fi
if have_peer crane; then
	check_equal "crane reads the index" 2 "$(peer crane manifest --insecure "$REGISTRY/app:v1" | platforms)"
	check_equal "… and the config of each" "arm64" "$(peer crane config --insecure --platform linux/arm64 "$REGISTRY/app:v1" | grep -oE '"architecture": ?"[a-z0-9]*"' | cut -d '"' -f 4)"
else
	skip "crane is not there"
fi
if have_peer podman; then
	for platform in amd64 arm64; do
		check_equal "podman runs the image for $platform" "changed on $(kernel $platform)" "$(peer_podman pull -q --tls-verify=false --platform linux/$platform "docker://$REGISTRY/app:v1" >pulled 2>err &&
			peer_run --network none --platform linux/$platform "$(tail -n 1 pulled)" 2>err || tail -n 3 err)"
	done
else
	skip "podman is not there"
fi
if start_docker; then
	for platform in amd64 arm64; do
		check_equal "docker runs the image for $platform" "changed on $(kernel $platform)" "$(docker pull -q --platform linux/$platform "$REGISTRY/app:v1" >pulled 2>err &&
			docker run --rm --network none --platform linux/$platform "$REGISTRY/app:v1" 2>err || tail -n 3 err)"
	done
	check_equal "docker reads the index" 2 "$(docker manifest inspect --insecure "$REGISTRY/app:v1" 2>err | platforms)"
else
	skip "docker is not there"
fi
