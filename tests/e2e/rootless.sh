#!/bin/sh
# A user with subordinate ids gets the image that root gets, whatever else differs around the build.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need runc jq setcap
busybox_base
test_user

mkdir -p src/dir
echo text >src/dir/file
printf '#!/bin/sh\n' >src/tool
chmod 755 src/tool
ln -s dir/file src/link
ln src/dir/file src/hard
bring setcap rootfs
cat >same.yaml <<'EOF'
name: same
from: base.yaml
layers:
  - name: owners
    run: |
      mkdir -p /d/sub; echo x >/d/file; chown 1234:77 /d/file; chown -R 65534:65534 /d/sub
      cp /bin/busybox /d/setuid; chown 1:1 /d/setuid; chmod 6755 /d/setuid
      mkfifo /d/fifo; chmod 1777 /d; chmod 2755 /d/sub
      cp /bin/busybox /d/capable; setcap cap_net_raw+ep /d/capable
      ln /d/file /d/hard; ln -s /nowhere /d/broken
      touch -d '1975-01-01 00:00:00' /d/old; touch -d '2040-01-01 00:00:00' /d/new
  - name: changes
    run: |
      rm /d/old; rm -r /d/sub; mkdir /d/sub; touch /d/sub/again; chmod 600 /d/file
      mv /d/fifo /d/pipe; rm /d/broken; echo file >/d/broken
      rm -r /tmp; ln -s /var/tmp /tmp; chown 1234 /root
  - {name: copy, copy: {from: src, to: /app/, owner: "1000:1000"}}
  - name: mixed
    steps:
      - copy: {from: src/tool, to: /usr/bin/}
      - run: {script: "id >who; umask >>who; touch mine", user: "1000:1000", workdir: /app}
      - run: env | sort >/env; ulimit -n >>/env
  - {name: last, run: "find / -xdev ! -path '/proc*' ! -path '/sys*' ! -path '/dev*' ! -type d ! -path /etc/hosts ! -path /listing -exec stat -c '%n %a %u:%g %h %s %Y %F' {} + | sort >/listing"}
EOF
chmod -R a+rX .
root=$("$SBUILD" same.yaml --metadata-file meta 2>err) || cat err
check "root builds it" test -n "$root"
"$SBUILD" export same:latest --format rootfs -o root.tar 2>/dev/null
check_equal "owners are those that were given" "1234/77" \
	"$(tar --numeric-owner -tvf root.tar | awk '$6 ~ /d\/hard$|d\/file$/ { print $2 }' | sort -u)"
check "setuid bits stay" sh -c "tar -tvf root.tar | grep -q -e '^-rwsr-sr-x .*d/setuid'"
check "capabilities stay" sh -c \
	"tar --xattrs --xattrs-include='*' -tvvf root.tar 2>/dev/null | grep -A2 'd/capable' | grep -q security.capability"

by_user() { as_user "$SBUILD" same.yaml --metadata-file home/meta >home/digest 2>home/err || { cat home/err && false; }; }
check "the user builds it" by_user
check_equal "and gets root's image" "$root" "$(cat home/digest)"
[ "$root" = "$(cat home/digest)" ] || {
	set +e
	jq -r '.layers[] | "\(.name) \(.diff_id)"' meta >a
	jq -r '.layers[] | "\(.name) \(.diff_id)"' home/meta >b
	diff a b
	"$SBUILD" diff same:latest "oci:$T/home/.local/share/sbuild:same:latest" 2>&1 | head -n 30
	"$SBUILD" export "oci:$T/home/.local/share/sbuild:same:latest" --format rootfs -o user.tar
	tar -xOf root.tar listing >l1
	tar -xOf user.tar listing | diff l1 - | head
}
check_equal "its second build builds nothing" "0" \
	"$(as_user "$SBUILD" same.yaml --json 2>/dev/null | jq '[.layers[] | select(.cached | not)] | length')"

# The same from elsewhere: another directory, umask, time zone, locale, modes of the files.
cp -a "$T/src" "$T/base.yaml" "$T/same.yaml" "$T/home/"
cp -a "$T/rootfs" "$T/home/"
touch "$T/home/src/tool"
chmod -R go-rwx "$T/home/src/dir"
chown -R "$user" home/src home/rootfs home/base.yaml home/same.yaml
same() { # WHAT VARIABLE=VALUE… OPTION…
	what=$1 && shift
	: >err
	got=$(umask 077 && as_user -C "$T/home" "$@" 2>>"$T/err") || cat err
	check_equal "the user's with $what" "$root" "$got"
}
same "another store, directory, umask and -j1" TZ=Asia/Tokyo LANG=de_DE.UTF-8 "$SBUILD" same.yaml --store "$T/home/s2" -j1
same "--no-cache and -j2" LC_ALL=C "$SBUILD" same.yaml --no-cache -j2
check_equal "root's with umask 077, TZ and LC_ALL" "$root" \
	"$(umask 077 && TZ=America/New_York LC_ALL=tr_TR.UTF-8 "$SBUILD" same.yaml --store "$T/s3" --no-cache -j1 2>>err)"

# A base that lies in a registry: fetched before and after the namespaces are entered.
if command -v docker-registry >/dev/null; then
	start_registry one
	"$SBUILD" base.yaml >/dev/null 2>>err
	check "the base is pushed" "$SBUILD" push base "$REGISTRY/base:v1"
	cat >remote.yaml <<-EOF
		name: remote
		from: {image: "$REGISTRY/base:v1"}
		layers:
		  - {name: copy, copy: {from: src, to: /app}}
		  - {name: step, run: "mkdir /d; chown 5:6 /d; cp /app/dir/file /d"}
	EOF
	cp remote.yaml home/
	remote=$("$SBUILD" remote.yaml 2>>err) || cat err
	check_equal "a user on a base in a registry gets root's image" "$remote" \
		"$(as_user -C "$T/home" "$SBUILD" remote.yaml --store "$T/home/s4" 2>>err)"
	stop_registries # or the script's waits wait for it
else
	skip "docker-registry is not installed"
fi

# Subordinate ids own what a killed build leaves: the next one removes it.
cat >home/slow.yaml <<'EOF'
name: slow
from: base.yaml
layers: [{name: slow, run: "mkdir -m 700 /x; touch /x/y; chown -R 1234:1234 /x; chmod 700 /x; sleep 60"}]
EOF
as_user -C "$T/home" "$SBUILD" slow.yaml >/dev/null 2>&1 &
i=0
until pgrep -u "$user" -x sleep >/dev/null || [ $i = 200 ]; do sleep 0.05 && i=$((i + 1)); done
pkill -KILL -u "$user" -f slow.yaml
wait
alive() { ps -eo stat=,user:32=,args= | grep -e "$user" -e 'mkdir -m 700 /x' | grep -v -e ^Z -e grep; }
i=0
while alive >/dev/null && [ $i -lt 100 ]; do sleep 0.1 && i=$((i + 1)); done
check_equal "no process of a killed build is left" "" "$(alive)"
store=$T/home/.local/share/sbuild
check "its files are left" test -n "$(ls "$store/sbuild/tmp")"
as_user -C "$T/home" "$SBUILD" same.yaml --no-cache >/dev/null 2>>err
check_store "after the next build" "$store"
for moment in 0.1 0.2 0.35 0.5 0.7; do
	as_user -C "$T/home" "$SBUILD" same.yaml --no-cache >/dev/null 2>&1 &
	sleep $moment
	pkill -KILL -u "$user" -f same.yaml || :
	wait
	as_user -C "$T/home" "$SBUILD" same.yaml >home/digest 2>>err || tail -n 5 err
	check_equal "a user's build after a kill at $moment s" "$root" "$(cat home/digest)"
done
as_user -C "$T/home" "$SBUILD" same.yaml --no-cache >/dev/null 2>>err
check_store "after kills" "$store"
check "the user's prune removes what subordinate ids own" as_user "$SBUILD" prune --max-size 0
check_equal "all of it" "" "$(find "$store/sbuild/trees" "$store/sbuild/caches" -mindepth 1 -maxdepth 1)"

# Without subordinate ids: said clearly.
sed -i "/^$user:/d" /etc/subuid
check_fails "no subordinate ids" 1 as_user -C "$T/home" "$SBUILD" same.yaml
check "the error says what to do" grep -q usermod said
