#!/bin/sh
# Bootstrap, apt and copy layers: root and a user with subordinate ids, in different stores and
# surroundings, build one image. Needs the distribution's mirror; the second build takes the
# packages that the first one fetched.
. tests/e2e/lib.sh
need_root
need mmdebstrap runc jq python3 unshare
test_user

mkdir src
printf 'import json\n\ndef main():\n    return json.dumps({})\n' >src/module.py
cat >packages.yaml <<'EOF'
name: packages
from: {debian: bookworm}
layers:
  - {name: packages, apt: [cron, python3-minimal, resolvconf]}
  - {name: app, copy: {from: src, to: /opt/app, owner: "1000:1000"}}
  - {name: warm, run: "python3 -m py_compile /opt/app/module.py; useradd -r made; ls -l /opt/app/__pycache__"}
image: {user: "1000:1000", cmd: [python3]}
EOF
"$SBUILD" packages.yaml --metadata-file meta >digest 2>err || { skip_without_mirror err && tail -n 60 err; }
check "root builds it" grep -q '^sha256:' digest
"$SBUILD" packages.yaml --json >again 2>/dev/null
check_equal "and nothing the second time" 0 "$(jq '[.layers[] | select(.cached | not)] | length' again)"

cp -a src packages.yaml home/
mkdir -p home/store/sbuild/caches
cp -a "$SBUILD_STORE/sbuild/caches/packages" "$SBUILD_STORE/sbuild/caches/bootstrap-debian" home/store/sbuild/caches/
chown -R "$user" home/store home/src home/packages.yaml
# A machine with another name, resolver, and settings of apt and dpkg.
mkdir host
cp -aL /etc/apt/apt.conf.d /etc/dpkg/dpkg.cfg.d /etc/resolv.conf host/
echo 'APT::Install-Recommends "true";' >host/apt.conf.d/zz-evil
echo 'path-exclude=/usr/share/doc/*' >host/dpkg.cfg.d/evil
echo 'search evil.example.com' >>host/resolv.conf
echo evil >host/hostname
chmod -R a+rX host
by_user() {
	(umask 077 && unshare --mount --uts --propagation private sh -c 'hostname evil.example.com
		for file in apt/apt.conf.d dpkg/dpkg.cfg.d resolv.conf hostname; do
			[ ! -e "/etc/$file" ] || mount --bind "host/${file#*/}" "/etc/$file"
		done
		exec "$@"' sh setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups --reset-env env -C "$T/home" \
		TZ=Asia/Tokyo LANG=de_DE.UTF-8 "$SBUILD" packages.yaml \
		--store store -j1 --metadata-file meta >home/digest 2>home/err) || { tail -n 60 home/err && false; }
}
check "a user builds it, elsewhere" by_user
check_equal "and gets root's image" "$(cat digest)" "$(cat home/digest)"
[ "$(cat digest)" = "$(cat home/digest)" ] || {
	jq -r '.layers[] | "\(.name) \(.diff_id)"' meta >a
	jq -r '.layers[] | "\(.name) \(.diff_id)"' home/meta | diff a - || :
	"$SBUILD" diff packages:latest "oci:$T/home/store:packages:latest" 2>&1 | head -n 40
}
check_equal "no package was fetched twice" "" "$(grep -E 'Get:[0-9]+ .*(_|amd64|all) [0-9.]+ .*\[' home/err | grep -v -e Packages -e InRelease | head -n 5)"

# What a build of packages leaves in the image.
root=root
mkdir $root
"$SBUILD" export packages:latest --format rootfs -o - 2>/dev/null | tar -C $root --numeric-owner --delay-directory-restore -xpf -
check "python works" chroot $root python3 -c 'import os'
check_equal "the image says where its programs are" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	"$($SBUILD inspect packages --json | jq -r ".config.Env[0]")"
check "setgid programs stay" sh -c "[ \"\$(stat -c '%a %G' $root/usr/bin/crontab)\" = '2755 crontab' ] || stat -c '%a %g' $root/usr/bin/crontab | grep -q ^2755"
check_equal "what became a link in the place of resolv.conf" ../run/resolvconf/resolv.conf "$(readlink $root/etc/resolv.conf)"
for gone in etc/resolvconf/resolv.conf.d/original var/log/apt/history.log var/log/dpkg.log var/cache/apt/archives/lock var/lib/apt/lists/lock \
	var/cache/ldconfig/aux-cache etc/hostname usr/sbin/policy-rc.d run/secrets; do
	check "gone: $gone" test ! -s "$root/$gone"
done
check_equal "no file is newer than the epoch" "" \
	"$(find $root -xdev -newermt '2020-01-01 00:00:01 UTC' ! -path $root | head -n 5)"
check "hash-based pyc files" python3 - $root/opt/app/__pycache__/*.pyc <<'EOF'
import sys
sys.exit(open(sys.argv[1], "rb").read(8)[4] & 1 == 0)
EOF
printf 'name: none\nfrom: packages.yaml\nlayers: [{name: none, apt: [no-such-package]}]\n' >none.yaml
check_fails "a package that there is not" 4 "$SBUILD" none.yaml
check_equal "a look at where apt failed, with what was said to it" "0 noninteractive" \
	"$("$SBUILD" run --failed sh -c 'echo $(id -u) $DEBIAN_FRONTEND' 2>err)"
check "and without the archive's lists, which is said" has err 'without what it had mounted at /var/lib/apt/lists'
check_store "root's"
check_store "the user's" home/store
