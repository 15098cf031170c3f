#!/bin/sh
# What changes on a host between two releases, and before one that is gone back to: who has its port, secrets
# that were removed, a service that was a job, where the store lies; and what status says of those that stopped.
. tests/e2e/node-service.lib
boot_node one

# ---- another program has the port ----

PORT=$(free_port)
make_service slow "$PORT"
mkdir -p squat slow
echo fine | tee squat/health >squat/index.html
printf '#!/bin/sh\nsleep 2\nexec httpd -f -p %s -h /app\n' "$PORT" >slow/run
chmod +x slow/run
sed -i 's,entrypoint: .*,entrypoint: [/app/run],' slow.yaml
release slow 1.0.0 >/dev/null 2>err
busybox httpd -f -p "127.0.0.1:$PORT" -h squat &
squatter=$!
check "the other answers" wait_for 5 ask "$PORT"
check_fails "one whose port another program has is refused" 1 n sbuild install "$REPOSITORY/slow:v1.0.0"
check_said "another program of this host has port $PORT of slow"
check_fails "nothing of it is left" 1 n test -e /etc/systemd/system/slow.service
kill "$squatter"
check "without the other" n sbuild install "$REPOSITORY/slow:v1.0.0"
check "the same again" n sbuild install "$REPOSITORY/slow:v1.0.0"
"$SBUILD" bundle slow:v1.0.0 -o "$(node_root one)/root/bare.tar" >/dev/null 2>err || cat err
check "one that tells of no port, as it is of the image alone" n sbuild install /root/bare.tar --name slow --replace
check_equal "has it all the same" fine "$(served "$PORT" >/dev/null && curl -s "http://127.0.0.1:$PORT/health")"
check "so the way back is no other program's" n sbuild rollback slow
n systemctl stop slow
busybox httpd -f -p "127.0.0.1:$PORT" -h squat &
squatter=$!
check "the other takes it while the service is stopped" wait_for 5 ask "$PORT"
release slow 1.1.0 >/dev/null 2>err
check_fails "which the next release is told" 1 n sbuild install "$REPOSITORY/slow:v1.1.0"
check_said "another program of this host has port $PORT of slow"
kill "$squatter"

# ---- a port that was given up, and is another service's now ----

FIRST=$(free_port) SECOND=$(free_port)
make_service moved "$FIRST"
release moved 1.0.0 >/dev/null 2>err
check "a release on one port" n sbuild install "$REPOSITORY/moved:v1.0.0"
make_service moved "$SECOND"
release moved 2.0.0 >/dev/null 2>err
check "the next on another" n sbuild install "$REPOSITORY/moved:v2.0.0"
make_service heir "$FIRST"
release heir 1.0.0 >/dev/null 2>err
check "the first port is another service's" n sbuild install "$REPOSITORY/heir:v1.0.0"
check_fails "there is no way back to it" 1 n sbuild rollback moved
check_said "port $FIRST of moved is the port of the service heir here"
check_equal "the newer one was left alone" 2.0.0 "$(ask "$SECOND")"
n sbuild uninstall heir >/dev/null 2>&1
check "when it is free, there is" n sbuild rollback moved
check_equal "it answers" 1.0.0 "$(served "$FIRST")"

# ---- a secret that a newer release does not need ----

PORT=$(free_port)
make_service secret "$PORT" 'secrets: [old]'
release secret 1.0.0 >/dev/null 2>err
n sh -c 'mkdir -p /etc/sbuild/secrets/secret && echo one >/etc/sbuild/secrets/secret/old'
check "a release with a secret" n sbuild install "$REPOSITORY/secret:v1.0.0"
make_service secret "$PORT"
release secret 2.0.0 >/dev/null 2>err
check "one without" n sbuild install "$REPOSITORY/secret:v2.0.0"
before=$(n systemctl show -P MainPID secret)
n rm /etc/sbuild/secrets/secret/old
check_fails "there is no way back without the secret" 1 n sbuild rollback secret
check_said '/etc/sbuild/secrets/secret/old'
check_equal "what runs was left alone" "$before" "$(n systemctl show -P MainPID secret)"

make_service needy "$(free_port)" 'requires: [nothere]'
release needy 1.0.0 >/dev/null 2>err
check_fails "what requires a unit that is not there" 1 n sbuild install "$REPOSITORY/needy:v1.0.0"
check_said 'needy requires nothere.service, which this node does not have'

# ---- stopped by hand ----

n systemctl stop secret
check_equal "status says that it was stopped" "it is inactive (dead)" \
	"$(n sbuild status secret --json | jq -r '.services[0].why')"

# The kernel may give a socket the very port that it asks, and connects it to itself where nothing listens.
make_service alone "$(free_port)"
sed -i 's|health: .*|health: {tcp: 40000, steady: 0s}|' alone.yaml
"$SBUILD" bundle alone.yaml --version 1.0.0 -o "$(node_root one)/root/alone.tar" >/dev/null 2>err || cat err
one_port() { # COMMAND…: on the node, with a network of one port
	unshare -n sh -c 'ip link set lo up && echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range &&
		node=$1 && shift && exec nsenter -t "$node" -m -u -i -p -C -- env -i PATH=/opt/sbuild:/usr/bin:/bin "$@"' \
		sh "$(node_pid one)" "$@"
}
if one_port true 2>err; then
	check_fails "a port that nothing listens on" 7 one_port sbuild install /root/alone.tar --wait=3s
	check_said 'nothing listens on port 40000'
else
	skip "no network of one port can be made here: $(cat err)"
fi

# ---- a job on a schedule, then no job ----

job() { # VERSION SCRIPT [LINE OF SERVICE…]
	mkdir -p job
	printf '#!/bin/sh\n%s\n' "$2" >job/run
	chmod +x job/run
	cat >job.yaml <<-END
		name: job
		from: base.yaml
		version: $1
		tags: [semver]
		layers: [{name: app, copy: {from: job, to: /app}}]
		image: {repository: $REPOSITORY/job, user: "1234:1234", entrypoint: [/app/run]}
		service:
		  stop_timeout: 2s
	END
	shift 2
	for line; do echo "  $line" >>job.yaml; done
	"$SBUILD" bundle job.yaml --push >/dev/null 2>err || cat err
}
job 1.0.0 'exit 3' 'type: job' 'schedule: "*:*:0/2"'
check "a job on a schedule" n sbuild install "$REPOSITORY/job:v1.0.0"
health() { n sbuild status job --json | jq -r ".services[0].health"; }
failed_last() { # asked at once, as it runs again in a moment
	n sbuild status job --json | jq -r '.services[0] | .health, .why' >status
	printf 'unhealthy\nit failed when it ran last (exit-code)\n' | cmp -s - status
}
check "one that fails whenever it runs is not healthy, and why" wait_for 10 failed_last
job 2.0.0 'exec sleep 1000' 'health: {command: "true", steady: 0s}'
check "the next is no job" n sbuild install "$REPOSITORY/job:v2.0.0"
sleep 2
check_equal "its timer is gone" inactive "$(n systemctl is-active job.timer || :)"
job 1.1.0 'exit 0' 'type: job' 'schedule: "*:*:0/2"'
check "a job again" n sbuild install "$REPOSITORY/job:v1.1.0"
check_equal "with a timer" active "$(n systemctl is-active job.timer || :)"
check_equal "which is well" healthy "$(health)"
check "and back" n sbuild rollback job 2
sleep 2
check_equal "no unit of this node has failed" "" "$(n systemctl --failed --no-legend --plain)"

# ---- a root that could not be mounted once ----

cat >"$(node_root one)/etc/systemd/system/run-sbuild-moved-3.mount" <<-EOF
	[Mount]
	What=overlay
	Where=/run/sbuild/moved/3
	Type=overlay
	Options=ro,lowerdir=/nowhere:/there
EOF
check_fails "a mount of that name fails" 1 n systemctl start run-sbuild-moved-3.mount
n rm /etc/systemd/system/run-sbuild-moved-3.mount
check "systemd does not go on with it" n sbuild install "$REPOSITORY/moved:v2.0.0"

# ---- the store moves ----

n sh -c 'mkdir /srv/store && mount -t tmpfs tmpfs /srv/store && mkdir /srv/store/one'
PORT=$(free_port)
make_service away "$PORT"
release away 1.0.0 >/dev/null 2>err
check "in a store of its own" n sbuild install "$REPOSITORY/away:v1.0.0" --store /srv/store/one
n ln -s one /srv/store/link
check "which has another name as well" n sbuild install "$REPOSITORY/away:v1.0.0" --store /srv/store/link
said 'generation 1 runs already'
n rm /srv/store/link
n mv /srv/store/one /srv/store/two
check "what is installed again" n sbuild install "$REPOSITORY/away:v1.0.0" --store /srv/store/two
said 'generation 2 runs'
check_fails "names the old place no more" 1 n grep -rq /srv/store/one /etc/systemd/system
check_fails "there is no way back to what does" 1 n sbuild rollback away --store /srv/store/two
check_said 'generation 1 of away is of a time when this store lay elsewhere'
check "it starts again" n systemctl restart away
check_equal "and serves" 1.0.0 "$(served "$PORT")"

# ---- the store is lost ----

release away 1.1.0 broken >/dev/null 2>err
n rm -rf /srv/store/two
check_fails "a release that fails, with nothing to go back to" 7 n sbuild install "$REPOSITORY/away:v1.1.0" --store /srv/store/two
check_said 'it was taken away again'
check "then one that does not" n sbuild install "$REPOSITORY/away:v1.0.0" --store /srv/store/two
check_equal "serves" 1.0.0 "$(served "$PORT")"
check "it goes" n sbuild uninstall away --store /srv/store/two
check_equal "and leaves nothing" "" "$(n sh -c 'ls /etc/systemd/system | grep away || :')"

# ---- mistyped ----

check_fails "a file that is not there" 1 n sbuild install ./no.bundle.tar
check_said 'No such file or directory'
check_fails "a name like a file's" 1 n sbuild install no.bundle.tar
check_said 'No such file or directory'
check_fails "a directory" 1 n sbuild install /root
check_said 'is not a file'
check_fails "an interval that nobody asks at" 2 n sbuild install "$REPOSITORY/moved:v2" --interval 5m
check_fails "to follow and not to follow" 2 n sbuild install "$REPOSITORY/moved:v2" --auto --no-auto
