#!/bin/sh
# Bundles for several platforms, and a node that takes its own: what is for another processor is refused
# while the old service still runs, whatever its config says.
. tests/e2e/node-service.lib
. "$TOP/tests/e2e/emulation.lib"
boot_node one
PORT=$(free_port)
make_service web "$PORT"
sed -i "s|^tags:|platforms: [linux/$OWN, linux/$OTHER]\n&|" web.yaml
main_pid() { n systemctl show -P MainPID web; }

# ---- an index of bundles ----

echo fine >web/health
echo 1.0.0 >web/index.html
check "a bundle for each platform" sh -c '"$1" bundle web.yaml --push --version 1.0.0 --units units -o web.tar --metadata-file web.json' sh "$SBUILD"
check_equal "the facts tell of both" "linux/amd64 linux/arm64" "$(jq -r '[.bundles[].platform] | sort | join(" ")' web.json)"
check_equal "the tag names an index of them" "$(jq -r .digest web.json)" "$(registry_digest team/web bundle-v1.0.0)"
check_equal "of bundles" "application/vnd.dev.sbuild.bundle.v1" "$(registry_get team/web/manifests/bundle-v1.0.0 | jq -r '[.manifests[].artifactType] | unique | join(" ")')"
check_equal "floating tags too" "$(jq -r .digest web.json)" "$(registry_digest team/web bundle-latest)"
check_equal "each is of its platform's image" "$(jq -r '[.bundles[].image.digest] | sort | join(" ")' web.json)" \
	"$(registry_get team/web/manifests/v1.0.0 | jq -r '[.manifests[].digest] | sort | join(" ")')"
check "units for each" test -e units/linux-amd64/web.service -a -e units/linux-arm64/web.service
check "the image's tag is installed" n sbuild install "$REPOSITORY/web:v1.0.0"
check_equal "it serves" 1.0.0 "$(served "$PORT")"
check_equal "the bundle for this host" "$(jq -r --arg p "linux/$OWN" '.bundles[] | select(.platform == $p) | .digest' web.json)" \
	"$(n sbuild status web --json | jq -r '.. | .bundle? // empty' | head -n 1)"
check "the bundle's own tag is the same" n sbuild install "$REPOSITORY/web:bundle-v1.0.0" --json
cp web.tar "$(node_root one)/root/web.tar"
check "and so is the file" n sbuild install /root/web.tar --replace
check "and an index of bundles in the store" n sh -c "sbuild pull $REPOSITORY/web:bundle-v1.0.0 --all-platforms && sbuild tag $REPOSITORY/web:bundle-v1.0.0 web:here &&
	sbuild install web:here --replace"
check "and back" n sbuild install "$REPOSITORY/web:v1.0.0" --replace
check_equal "so has an image of the store" "linux/amd64 linux/arm64" \
	"$("$SBUILD" bundle web:v1.0.0 --json 2>err | jq -r '[.bundles[].platform] | sort | join(" ")')"
check_equal "one of them alone, beside the other" "2 linux/$OTHER" "$("$SBUILD" bundle web:v1.0.0 --platform "linux/$OTHER" --json 2>err | jq -r '.bundles[].platform' |
	sed "s|^|$("$SBUILD" index web:bundle-v1.0.0 --json | jq '.images | length') |")"
pid=$(main_pid)

# ---- what is not for this host ----

refused() { # NAME PATTERN COMMAND…
	refused=$1 pattern=$2
	shift 2
	check_fails "$refused" '[15]' n "$@"
	check_said "$pattern"
	check_equal "$refused: the service was not touched" "$pid 1.0.0" "$(main_pid) $(ask "$PORT")"
}
sed -i "s|^platforms: .*|platforms: [linux/$OTHER]|" web.yaml
echo 1.1.0 >web/index.html
check "for the other platform alone" "$SBUILD" bundle web.yaml --push --version 1.1.0
refused "an index without this host's" "not made for linux/$OWN" sbuild install "$REPOSITORY/web:v1.1.0"
refused "a bundle by its digest" "made for linux/$OTHER, and this host is linux/$OWN" \
	sbuild install "$REPOSITORY/web@$(registry_get team/web/manifests/bundle-v1.1.0 | jq -r '.manifests[0].digest')"

# A config that says this host's, and programs that are not.
sed -i '/^platforms:/d' web.yaml
other_busybox other
sed -i 's|from: rootfs|from: other|' base.yaml
echo 1.2.0 >web/index.html
check "one that lies" "$SBUILD" bundle web.yaml --push --version 1.2.0
refused "its program" "its program \"/bin/busybox\" is made for linux/$OTHER, and this host is linux/$OWN" \
	sbuild install "$REPOSITORY/web:v1.2.0"
printf '#!/usr/bin/env -S A=b busybox sh\nexec busybox httpd -f -p %s -h /app\n' "$PORT" >web/run
chmod +x web/run
mkdir -p other/usr/bin
ln -sf /bin/busybox other/usr/bin/env
sed -i "s|^  entrypoint:.*|  entrypoint: [/app/run]|" web.yaml
check "a script" "$SBUILD" bundle web.yaml --push --version 1.3.0
refused "what runs it" "its program \"/bin/busybox\" is made for linux/$OTHER" sbuild install "$REPOSITORY/web:v1.3.0"
check_equal "no generation is left of them" "$(n sbuild status web --json | jq '[.. | .state? // empty] | length')" \
	"$(n sbuild status web --json | jq '[.. | .state? // empty | select(. == "healthy")] | length')"

# ---- asked for ----

sed -i "s|^tags:|platforms: [linux/s390x]\n&|; s|^  entrypoint:.*|  entrypoint: [/bin/busybox, httpd, -f, -p, \"$PORT\", -h, /app]|" web.yaml
if [ -z "$(grep -l s390x /proc/sys/fs/binfmt_misc/* 2>/dev/null)" ]; then
	check "one for a processor that nobody has" "$SBUILD" bundle web.yaml --push --version 1.3.1
	refused "there is no emulator for it" 'runs no such programs' sbuild install "$REPOSITORY/web:v1.3.1" --platform linux/s390x
fi
sed -i '/^platforms:/d' web.yaml

if [ -e "/usr/lib/binfmt.d/qemu-$emulated.conf" ]; then
	start_emulation
	sed -i "s|^tags:|platforms: [linux/$OTHER]\n&|; s|^  entrypoint:.*|  entrypoint: [/bin/busybox, httpd, -f, -p, \"$PORT\", -h, /app]|" web.yaml
	echo 1.4.0 >web/index.html
	check "one for the other platform" "$SBUILD" bundle web.yaml --push --version 1.4.0
	refused "is not emulated silently" "not made for linux/$OWN" sbuild install "$REPOSITORY/web:v1.4.0"
	check "but when that is asked for" n sbuild install "$REPOSITORY/web:v1.4.0" --platform "linux/$OTHER"
	check_equal "it serves" 1.4.0 "$(served "$PORT")"
	check "back to this host's own" n sbuild rollback web
	check_equal "it serves too" 1.0.0 "$(served "$PORT")"
	check "and forth again" n sbuild rollback web "$(n sbuild status web --json | jq '[.. | .generation? // empty] | max')"
else
	skip "qemu-user-static is not installed"
fi
