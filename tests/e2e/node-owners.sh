#!/bin/sh
# A service that an older sbuild installed runs as its image's user; with the next release it gets a user of
# its own, and its data with it: all of them, nothing else, and back again when that release fails.
. tests/e2e/node-service.lib
boot_node one
root=$(node_root one)
PORT=$(free_port) SPARE=$(free_port)
old() { # NAME GENERATION [COLOUR]: its units and data as they would be
	n sh -c "cd /etc/systemd/system; f=\$(readlink -f $1.service)
		sed -i 's/^User=.*/User=1234/; s/^Group=.*/Group=1234/; /^PrivateUsers/d' \$f /var/lib/sbuild/sbuild/services/$1/$2/units/*.service \
			/var/lib/sbuild/sbuild/services/$1/$2/units/*/*.service 2>/dev/null
		grep -q worker-of-old /etc/passwd || { echo worker-of-old:x:1234:1234::/: >>/etc/passwd; echo worker-of-old:x:1234: >>/etc/group; }
		rm /etc/sbuild/ids/$1; chown -hR 1234:1234 /var/lib/sbuild-volumes/$1/*; systemctl daemon-reload; systemctl restart $1"
}
owners() { # SERVICE: of all its data
	n find "/var/lib/$1" "/var/lib/sbuild-volumes/$1/app~db" -printf '%U:%G\n' | sort -u | paste -sd ' '
}
user() { n stat -c %u "/proc/$(n systemctl show -P MainPID "$1")"; }
as_service() { # SERVICE COMMAND
	pid=$(n systemctl show -P MainPID "$1") id=$(user "$1")
	n nsenter -t "$pid" -m -r -S "$id" -G "$id" /bin/busybox sh -c "$2"
}
service() { # NAME PORT [LINE…]
	make_service "$@" 'directories: {state: /data}'
	mkdir -p "$1/db/deep"
	echo first >"$1/db/deep/content"
	sed -i 's|^image:|image:\n  volumes: [/app/db]|' "$1.yaml"
}

# ---- an upgrade ----

service web "$PORT"
release web 1.0.0 >/dev/null 2>err
check "a service" n sbuild install "$REPOSITORY/web:v1.0.0"
old web 1
wait_for 20 ask "$PORT"
check_equal "as an older sbuild made it" "1234 1234:1234" "$(user web) $(owners web)"
n sh -c 'echo secret >/etc/host-file; chmod 600 /etc/host-file; mkdir /etc/host-directory; touch /etc/host-directory/file'
check "it writes, also links to what is not its" as_service web 'echo more >>/app/db/deep/content; echo data >/data/file
	mkdir -p /data/sub /app/db/sub
	for d in /data /app/db; do
		ln -s /etc/host-file $d/link; ln -s /etc/host-directory $d/sub/directory; ln -s ../../../../etc/host-directory $d/up
		ln $d/../app/db/deep/content $d/hard 2>/dev/null || :
	done'
state() { n sh -c 'stat -c "%n %U %a" /etc/host-file /etc/host-directory /etc/host-directory/file /etc/shadow'; }
state >before
n ln /etc/host-file /var/lib/web/sub/linked
check_fails "with a file of the host among its data" 1 n sbuild install "$REPOSITORY/web:v1.0.0"
said '/var/lib/web: .*"sub/linked" has a name outside of this directory as well'
said 'find -xdev -inum'
check_equal "nothing was changed" "1.0.0 1234 0" "$(ask "$PORT") $(user web) $(n stat -c %u /etc/host-file)"
n rm /var/lib/web/sub/linked
check "is it not current any more as it is" n sbuild install "$REPOSITORY/web:v1.0.0"
id=$(n cat /etc/sbuild/ids/web)
check_equal "it runs as a user of its own, whose the data are" "$id $id:$id" "$(user web) $(owners web)"
check_equal "it reads them" "first more data" "$(as_service web 'cat /app/db/deep/content /data/file' | paste -sd ' ')"
check "and writes them" as_service web 'echo x >>/app/db/deep/content && echo x >>/data/file && rm /data/link'
state >after
check "nobody else's file is another's" diff before after

# ---- one that fails: back, with the data ----

old web 2
wait_for 20 ask "$PORT"
check_equal "once more as an older sbuild made it" "1234 1234:1234" "$(user web) $(owners web)"
release web 1.1.0 broken >/dev/null 2>err
check_fails "a release that is not healthy" 7 n sbuild install "$REPOSITORY/web:v1.1.0"
check_equal "the one before runs, and has its data" "1234 1234:1234" "$(user web) $(owners web)"
check_equal "it serves" 1.0.0 "$(served "$PORT")"
release web 1.2.0 >/dev/null 2>err
check "a good one" n sbuild install "$REPOSITORY/web:v1.2.0"
id=$(n cat /etc/sbuild/ids/web)
check_equal "has them" "$id $id:$id" "$(user web) $(owners web)"
check "back to one of the older sbuild" n sbuild rollback web
check_equal "its units are made anew" "1.0.0 $id $id:$id" "$(served "$PORT") $(user web) $(owners web)"
check "on again" n sbuild rollback web 4
n sbuild uninstall web >/dev/null 2>&1

# ---- two at once ----

service pair "$PORT" 'strategy: blue-green' "spare_port: $SPARE" 'drain: 1s'
release pair 1.0.0 >/dev/null 2>err
check "a service in colours" n sbuild install "$REPOSITORY/pair:v1.0.0"
old pair 1
wait_for 20 ask "$PORT"
check_equal "as an older sbuild made it" "1234 1234:1234" "$(user pair) $(owners pair)"
release pair 1.1.0 broken >/dev/null 2>err
check_fails "a release that is not healthy" 7 n sbuild install "$REPOSITORY/pair:v1.1.0"
check_equal "the one before runs, and has its data" "1.0.0 1234 1234:1234" "$(served "$PORT") $(user pair) $(owners pair)"
release pair 1.2.0 >/dev/null 2>err
check "a good one" n sbuild install "$REPOSITORY/pair:v1.2.0"
id=$(n cat /etc/sbuild/ids/pair)
check_equal "has them" "1.2.0 $id $id:$id" "$(served "$SPARE") $(user pair) $(owners pair)"
kill_node one
boot_node one
check_equal "after a reboot" "1.2.0 $id" "$(served "$SPARE") $(user pair)"
check_equal "roots are in nobody's reach" 700 "$(n stat -c %a /run/sbuild)"
check_equal "nor is what they wrote" "700 700 750" "$(n stat -c %a /var/lib/sbuild-volumes /var/lib/sbuild-volumes/pair /var/lib/pair | paste -sd ' ')"
n sbuild uninstall pair >/dev/null 2>&1

# ---- of root, with users of its image besides ----

PORT=$(free_port)
service many "$PORT" 'harden: {own_ids: false}'
sed -i 's/user: "1234:1234"/user: root/' many.yaml
release many 1.0.0 >/dev/null 2>err
check "root, as its image has it" n sbuild install "$REPOSITORY/many:v1.0.0"
check_equal "is the host's root" 0 "$(user many)"
n sh -c 'echo x >/var/lib/many/file; chown 77:77 /var/lib/many/file'
sed -i '/own_ids/d' many.yaml
release many 1.1.0 >/dev/null 2>err
check_fails "with a user of its own another's data would be lost" 1 n sbuild install "$REPOSITORY/many:v1.1.0"
said '/var/lib/many: .*"file" is of the user 77'
check_equal "nothing was changed" "1.0.0 0 77" "$(ask "$PORT") $(user many) $(n stat -c %u /var/lib/many/file)"
n chown 0:0 /var/lib/many/file
check "data of root alone become its own" n sbuild install "$REPOSITORY/many:v1.1.0"
id=$(n cat /etc/sbuild/ids/many)
check_equal "all of them" "1.1.0 $id $id:$id" "$(ask "$PORT") $(user many) $(owners many)"
check "and back" n sbuild rollback many
check_equal "root has them" "1.0.0 0" "$(ask "$PORT") $(user many)"
n sh -c 'echo x >/var/lib/sbuild-volumes/many/app~db/of-root'
check "and on again" n sbuild rollback many 2
check_equal "with what root wrote" "$id $id:$id" "$(user many) $(owners many)"
n sbuild uninstall many >/dev/null 2>&1

# ---- the host's own root ----

mkdir -p light
printf '#!/bin/sh\nread -r x <"$0.conf" || exit 1\nexec sleep 1000\n' >light/run
echo private >light/run.conf
chmod 755 light/run
cat >light.yaml <<-END
	name: light
	from: base.yaml
	version: 1.0.0
	tags: [semver]
	layers: [{name: app, copy: {from: light, to: /srv}}, {name: closed, run: "chmod 600 /srv/run.conf; chown 1234:1234 /srv/run.conf"}]
	image: {user: "1234:1234", workdir: /srv, entrypoint: [/srv/run]}
	service: {root: host, stop_timeout: 2s}
END
"$SBUILD" bundle light.yaml -o "$root/root/light.tar" >out 2>&1 || cat out
check "a service in the host's root" n sbuild install /root/light.tar
id=$(n cat /etc/sbuild/ids/light)
check_equal "is a user of its own, with its files" "$id $id" "$(user light) $(n stat -c %u /opt/light/1/srv/run.conf)"
check_fails "which nobody else comes to" 2 n setpriv --reuid 1234 --regid 1234 --clear-groups ls /opt/light
