#!/bin/sh
# Other tools read what sbuild writes, from its store as it is and from what it exports; and sbuild
# builds on what they write.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
need_root
need jq runc python3
need_peer skopeo

busybox_root rootfs
mkdir app
echo 'from the application' >app/file
ln -s file app/link
for compression in zstd gzip; do
	cat >"$compression.yaml" <<END
name: $compression
from: scratch
compression: $compression
layers:
  - {name: busybox, copy: {from: rootfs, to: /}}
  - {name: app, copy: {from: app, to: /app, owner: "1234:77"}}
  - {name: run, run: "echo made >/app/made; rm /app/link; ln /app/file /hard; chmod 4755 /bin/busybox"}
image:
  user: worker
  workdir: /app
  env: {GREETING: "hello  there"}
  entrypoint: [/bin/sh, -c]
  cmd: ['echo "\$GREETING \$(id -u) \$(pwd)"; cat made file /hard; ls']
  ports: [8080]
  labels: {a.label: "its value"}
END
done
zstd=$("$SBUILD" zstd.yaml --metadata-file zstd.json)
gzip=$("$SBUILD" gzip.yaml --metadata-file gzip.json)
check "two images are built" test -n "$zstd" -a -n "$gzip"
check_equal "of the same layers" "$(jq -c '[.layers[].diff_id]' zstd.json)" "$(jq -c '[.layers[].diff_id]' gzip.json)"
wanted='hello  there 1234 /app|made|from the application|from the application|file|made|'
runs() { # prints what the image's own command says
	peer_run --network none "$@" 2>err | tr '\n' '|'
	cat err >&2
}

# ---- skopeo ----

check_equal "skopeo inspects the store" "$zstd" "$(peer skopeo inspect --format '{{.Digest}}' oci:store:zstd:latest)"
peer skopeo inspect --config oci:store:gzip:latest >config.json
check_equal "skopeo reads the config" "worker /app its value {\"8080/tcp\":{}}" \
	"$(jq -r '.config | [.User, .WorkingDir, .Labels["a.label"], (.ExposedPorts | tojson)] | join(" ")' config.json)"
for image in zstd gzip; do
	check "skopeo copies $image to a layout" \
		peer skopeo copy -q --insecure-policy --preserve-digests "oci:store:$image:latest" "oci:copied:$image"
done
# Not every skopeo converts zstd for a docker archive.
check "skopeo copies gzip to a docker archive" \
	peer skopeo copy -q --insecure-policy oci:store:gzip:latest docker-archive:docker.tar:gzip:latest
check_equal "the copy is the image" "$zstd" "$(peer skopeo inspect --format '{{.Digest}}' oci:copied:zstd)"
check "sbuild exports an OCI archive" "$SBUILD" export zstd:latest -o zstd-oci.tar
check_equal "skopeo reads it" "$zstd" "$(peer skopeo inspect --format '{{.Digest}}' oci-archive:zstd-oci.tar)"
check "sbuild exports a docker archive" "$SBUILD" export zstd:latest --format docker-archive -o exported.tar
check_equal "skopeo reads it" "$(jq -c .config config.json)" \
	"$(peer skopeo inspect --config docker-archive:exported.tar | jq -c .config)"

# ---- umoci ----

if have_peer umoci; then
	check_equal "umoci describes it" "copy: copy: run:" "$(peer umoci stat --image store:gzip:latest --json |
		jq -r '[.history[] | select(.empty_layer | not) | .created_by | split(" ")[0]] | join(" ")')"
	check "umoci lists it" sh -c '[ "$(echo "$1" | grep -c :latest)" = 2 ]' sh "$(peer umoci ls --layout store)"
	check "umoci unpacks it" peer umoci unpack --image store:gzip:latest bundle
	check_equal "with owners, modes and links" "0 0 4755|1234 77 644 2|1234 77 644 2|" \
		"$(cd bundle/rootfs && { stat -c '%u %g %a' bin/busybox && stat -c '%u %g %a %h' app/file hard; } | tr '\n' '|')"
	check_equal "without what was removed" "file made" "$(cd bundle/rootfs/app && echo *)"
	# umoci before 0.5 knows no zstd.
	if peer umoci --version | grep -Eq ' 0\.[0-4]\.'; then
		skip "this umoci knows no zstd"
	else
		check "umoci unpacks zstd" peer umoci unpack --image store:zstd:latest bundle-zstd
	fi
else
	skip "umoci is not installed"
fi

# ---- crane ----

if have_peer crane; then
	check "crane validates the docker archive" peer crane validate --tarball exported.tar
	port=$(free_port)
	peer sh -c 'crane registry serve --address "127.0.0.1:$1" & echo $! >crane.pid; wait' sh "$port" >crane.log 2>&1 &
	i=0
	while [ $i -lt 50 ] && ! peer crane catalog "127.0.0.1:$port" >/dev/null 2>&1; do sleep 0.1 && i=$((i + 1)); done
	for image in zstd gzip; do
		peer skopeo copy -q --insecure-policy "oci:store:$image:latest" "oci:one-$image:latest"
		check "crane pushes $image" peer crane push "one-$image" "127.0.0.1:$port/$image:v1"
	done
	check "crane validates gzip" peer crane validate --remote "127.0.0.1:$port/gzip:v1"
	# crane 0.20 takes layers for gzip wherever it looks into them.
	check "crane validates zstd, all but the content of layers" peer crane validate --fast --remote "127.0.0.1:$port/zstd:v1"
	check_equal "crane has the digest" "$zstd" "$(peer crane digest "127.0.0.1:$port/zstd:v1")"
	kill "$(cat crane.pid)" 2>/dev/null || :
else
	skip "crane is not installed"
fi

# ---- podman and buildah ----

if have_peer podman; then
	for image in zstd gzip; do
		check "podman pulls $image from the store" peer_podman pull -q "oci:store:$image:latest"
	done
	check "podman loads the exported OCI archive" peer_podman load -q -i zstd-oci.tar
	check "podman loads the exported docker archive" peer_podman load -q -i exported.tar
	# Does podman run anything here?
	tar -C rootfs -cf control.tar .
	peer_podman import -q control.tar control >/dev/null 2>&1 || :
	if [ "$(peer_run --network none control /bin/sh -c 'echo runs' 2>control.log)" = runs ]; then
		for image in zstd gzip; do
			check_equal "podman runs $image" "$wanted" "$(runs "$(peer_podman pull -q "oci:store:$image:latest")")"
		done
		check_equal "podman runs the loaded image" "$wanted" "$(runs localhost/zstd:latest)"
	else
		skip "podman runs nothing here: $(tail -n 1 control.log)"
	fi
else
	skip "podman is not installed"
fi

# ---- building on what others wrote ----

cat >on.yaml <<'END'
name: on
from: {image: "${BASE}"}
args: {BASE: "oci:peer:none"}
layers:
  - {name: add, copy: {from: app, to: /app/added}}
  - {name: see, run: "cat /app/file /app/added/file >/seen; [ ! -e /app/link ]; echo $GREETING >>/seen; rm /hard"}
END
seen='from the application|from the application|hello there|'
builds_on() { # NAME REFERENCE
	check "sbuild builds on $1" "$SBUILD" on.yaml --set "BASE=$2" --metadata-file on.json
	"$SBUILD" export on:latest --format rootfs -o on.tar 2>/dev/null
	check_equal "and has all files of $1" "$seen" "$(tar -xOf on.tar seen | tr '\n' '|')"
	check_equal "with those above $1 removed" "" "$(tar -tf on.tar | grep -E '^(\./)?(hard|app/link)$')"
	check_equal "and the config of $1" "worker hello  there its value" "$("$SBUILD" inspect on:latest --config |
		jq -r '.config | [.User, (.Env[] | select(startswith("GREETING=")) | .[9:]), .Labels["a.label"]] | join(" ")')"
	check "skopeo reads it" peer skopeo inspect oci:store:on:latest
}

for image in zstd gzip; do
	builds_on "skopeo's layout ($image)" "oci:copied:$image"
done
builds_on "skopeo's docker archive" docker-archive:docker.tar
check "skopeo writes an OCI archive" peer skopeo copy -q --insecure-policy oci:store:zstd:latest oci-archive:skopeo.tar:a:tag
builds_on "skopeo's OCI archive" oci-archive:skopeo.tar
check "skopeo compresses anew" peer skopeo copy -q --insecure-policy --dest-compress-format zstd oci:store:gzip:latest dir:dir
check "skopeo converts to docker's format" peer skopeo copy -q --insecure-policy -f v2s2 oci:store:gzip:latest dir:v2s2
check "and writes it as an archive" peer skopeo copy -q --insecure-policy dir:v2s2 docker-archive:v2s2.tar:v2s2:latest
builds_on "docker's format" docker-archive:v2s2.tar
if have_peer umoci; then
	check "umoci repacks" sh -c 'echo umoci >bundle/rootfs/umoci'
	peer umoci repack --image copied:repacked bundle >/dev/null 2>&1 || :
	builds_on "umoci's image" oci:copied:repacked
	check_equal "with umoci's file" umoci "$(tar -xOf on.tar umoci)"
fi
if have_peer buildah; then
	check "buildah pulls" peer_buildah pull -q oci:store:gzip:latest
	base=$(peer_buildah pull -q oci:store:gzip:latest | tail -n 1)
	printf 'FROM %s\nUSER root\nRUN echo built >/built\nRUN rm /built; mkdir /built; echo x >/built/x\nUSER worker\n' "${base#sha256:}" >Dockerfile
	if peer_build --layers -t built . >build.log 2>&1; then
		for format in gzip zstd; do
			check "buildah writes $format" \
				peer_buildah push -q --compression-format "$format" built "oci:buildah-$format:built"
			builds_on "buildah's image ($format)" "oci:buildah-$format:built"
			check_equal "with buildah's file" x "$(tar -xOf on.tar built/x)"
		done
		check "buildah writes a docker archive" peer_buildah push -q built docker-archive:buildah.tar:built:latest
		builds_on "buildah's docker archive" docker-archive:buildah.tar
		check "buildah writes docker's format" peer_buildah push -q --format v2s2 built oci-archive:buildah-oci.tar:built
		builds_on "buildah's OCI archive" oci-archive:buildah-oci.tar
	else
		skip "buildah builds nothing here: $(tail -n 2 build.log)"
	fi
else
	skip "buildah is not installed"
fi
check_store "after all of this"
