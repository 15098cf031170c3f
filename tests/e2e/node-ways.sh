#!/bin/sh
# The ways in which services differ on a node: checks of health, jobs, GPUs, secrets, following a tag,
# the host's own root; and what is refused before anything is touched.
. tests/e2e/node-service.lib
root=$(node_root one)
boot_node one

# ---- other checks of health ----

# A service of one script, which is given as its third argument, on its second.
script_service() { # NAME PORT SCRIPT [LINE OF SERVICE…]
	mkdir -p "$1"
	printf '#!/bin/sh\n%s\n' "$3" >"$1/run"
	chmod +x "$1/run"
	script_name=$1 script_port=$2
	shift 3
	cat >"$script_name.yaml" <<-END
		name: $script_name
		from: base.yaml
		version: 1.0.0
		tags: [semver]
		layers: [{name: app, copy: {from: $script_name, to: /app}}]
		image: {repository: $REPOSITORY/$script_name, user: "1234:1234", workdir: /app, entrypoint: [/app/run]}
		service:
		  port: $script_port
		  stop_timeout: 3s
	END
	for line; do echo "  $line" >>"$script_name.yaml"; done
	"$SBUILD" bundle "$script_name.yaml" --push >/dev/null 2>err || cat err
}
PORT=$(free_port)
script_service tcp "$PORT" "sleep 0.5; exec nc -ll -p $PORT -e true" "health: {tcp: $PORT, timeout: 5s, steady: 0s}"
check "a port that opens after a while" n sbuild install "$REPOSITORY/tcp:v1.0.0"
script_service closed "$(free_port)" 'exec sleep 1000' 'health: {tcp: 1, timeout: 2s}'
check_fails "a port that does not" 7 n sbuild install "$REPOSITORY/closed:v1.0.0"
said 'nothing listens on port 1'
check_fails "leaves no unit" 4 n systemctl status -q closed
check "but a record" n sh -c 'sbuild status closed | grep -q "generation 1 failed"'
script_service command "$(free_port)" 'sleep 0.3; echo ok >/tmp/state; exec sleep 1000' \
	'health: {command: "grep -q ok /tmp/state", timeout: 5s, steady: 0s}' 'env: {FROM: recipe}'
check "a command in the service's root, with its /tmp" n sbuild install "$REPOSITORY/command:v1.0.0"
script_service badcommand "$(free_port)" 'exec sleep 1000' 'health: {command: "test -e /tmp/state", timeout: 2s}'
check_fails "a command that fails" 7 n sbuild install "$REPOSITORY/badcommand:v1.0.0"
said 'its health command fails with status 1'
script_service crash "$(free_port)" 'echo it is out of order; exit 3' 'health: {tcp: 2, timeout: 60s}' 'restart: "no"'
began=$(date +%s)
check_fails "one that crashes" 7 n sbuild install "$REPOSITORY/crash:v1.0.0"
check "is not waited for" test $(($(date +%s) - began)) -lt 30
check "its last words are kept" n sh -c 'sbuild status crash | grep -q "it is out of order"'
script_service none "$(free_port)" 'exec sleep 1000'
check "without any check" n sbuild install "$REPOSITORY/none:v1.0.0"
script_service job "$(free_port)" 'echo done' 'type: job'
check "a job that runs to its end" n sbuild install "$REPOSITORY/job:v1.0.0"
script_service badjob "$(free_port)" 'exit 1' 'type: job'
check_fails "a job that fails" 7 n sbuild install "$REPOSITORY/badjob:v1.0.0"
script_service nightly "$(free_port)" 'echo done' 'type: job' 'schedule: daily'
check "a job with a schedule" n sbuild install "$REPOSITORY/nightly:v1.0.0"
check "has a timer" n systemctl is-active -q nightly.timer

# ---- GPUs, secrets, directories ----

n sh -c '[ -e /dev/nvidia0 ] || mknod -m 666 /dev/nvidia0 c 1 3; [ -e /dev/nvidiactl ] || mknod -m 666 /dev/nvidiactl c 1 3' 2>/dev/null || :
PORT=$(free_port)
mkdir -p gpu
cat >gpu/answer <<'END'
#!/bin/sh
ls /dev
echo "$CUDA_VISIBLE_DEVICES"
cat "$CREDENTIALS_DIRECTORY/token"
echo more >>/data/kept
END
chmod +x gpu/answer
script_service gpu "$PORT" "exec nc -ll -p $PORT -e /app/answer" \
	"health: {tcp: $PORT, timeout: 5s, steady: 0s}" 'gpu: [0]' 'secrets: [token]' 'directories: {state: /data}'
check_fails "a secret that is missing" 1 n sbuild install "$REPOSITORY/gpu:v1.0.0"
said '/etc/sbuild/secrets/gpu/token'
n sh -c 'mkdir -p /etc/sbuild/secrets/gpu && echo open-sesame >/etc/sbuild/secrets/gpu/token'
check "with it" n sbuild install "$REPOSITORY/gpu:v1.0.0"
talk() { python3 -c 'import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2)
print(s.makefile().read())' "$1"; }
talk "$PORT" >told || :
if n test -e /dev/nvidia0; then check "it sees its GPU" grep -qx nvidia0 told; else skip "no device nodes can be made here"; fi
check "and its secret" grep -qx open-sesame told
check "it keeps its data on the host" n grep -q more /var/lib/gpu/kept
check_equal "another service sees no GPU" "" \
	"$(n nsenter -t "$(n systemctl show -P MainPID none)" -m -r /bin/busybox ls /dev | grep nvidia || :)"
n sbuild uninstall gpu >/dev/null 2>&1
check "its data stays when it goes" n test -s /var/lib/gpu/kept

# ---- following a tag ----

PORT=$(free_port)
make_service tag "$PORT"
release tag 1.0.0 >/dev/null 2>err
check "install --auto" n sbuild install "$REPOSITORY/tag:v1" --auto --interval 2s
check "a timer follows" n systemctl is-active -q sbuild-auto-tag.timer
answers() { [ "$(ask "$PORT")" = "$1" ]; }
release tag 1.1.0 >/dev/null 2>err
check "a new push is picked up" wait_for 20 answers 1.1.0
release tag 1.2.0 broken >/dev/null 2>err
refused() { n sbuild status tag --json | jq -e '.services[0].follows.refused' >/dev/null; }
check "a broken one is refused" wait_for 20 refused
check "the one before serves" wait_for 20 answers 1.1.0
before=$(n sbuild status tag --json | jq '.services[0].generations | length')
sleep 5
check_equal "it is not tried again" "$before" "$(n sbuild status tag --json | jq '.services[0].generations | length')"
release tag 1.3.0 >/dev/null 2>err
check "the next one is" wait_for 20 answers 1.3.0
check "a rollback" n sbuild rollback tag
sleep 5
check "is not undone by the timer" answers 1.1.0
check "no longer" n sbuild install "$REPOSITORY/tag:v1" --no-auto
check "and what was rolled back is installed when it is asked for" answers 1.3.0
check_fails "no timer is left" 4 n systemctl status -q sbuild-auto-tag.timer
release tag 1.4.0 broken >/dev/null 2>err
check_fails "install --auto of a broken one" 7 n sbuild install "$REPOSITORY/tag:v1" --auto --interval 1h
check "will not be tried again either" refused
check "no longer" n sbuild install "$REPOSITORY/tag:v1.3.0" --no-auto

# ---- a unit that became another's ----

n sh -c 'cd /etc/systemd/system && cp none.service /root && printf "[Service]\nExecStart=/bin/true\n" >none.service'
check_fails "status of a service whose unit is another's now" 1 n sbuild status
said 'none'
check "shows the others" grep -q '^tag .* healthy' said
check_fails "also as JSON" 1 n sbuild status --json
check "what can't be told is said there too" grep -q '"health": *"unknown"' said
n cp /root/none.service /etc/systemd/system

# ---- the host's root ----

PORT=$(free_port)
script_service light "$PORT" 'while :; do sleep 1; done' 'root: host'
check "root: host" n sbuild install "$REPOSITORY/light:v1.0.0"
check "runs what is under /opt" n sh -c 'test -x /opt/light/1/app/run || test -x /opt/light/1/run'
check "uninstall" n sbuild uninstall light
check_fails "takes it away" 1 n test -e /opt/light

# ---- refused before anything is touched ----

units() { n sh -c 'ls -A /etc/systemd/system; ls /var/lib/sbuild/sbuild/services' | sort; }
units >before
PORT=$(free_port)
make_service bad "$PORT"
release bad 1.0.0 >/dev/null 2>err
bundle=$("$SBUILD" inspect bad:bundle-v1.0.0 --manifest | jq -r '.layers[-1].digest' | cut -d: -f2)
data=$T/registry-main/data/docker/registry/v2/blobs/sha256/$(echo "$bundle" | cut -c1-2)/$bundle/data
cp "$data" kept
printf 'XXXX' | dd of="$data" bs=1 seek=40 conv=notrunc 2>/dev/null
check_fails "bytes that were tampered with" 6 n sbuild install "$REPOSITORY/bad:v1.0.0"
cp kept "$data"
head -c 24000000 /dev/urandom >bad/large
release bad 1.0.1 >/dev/null 2>err
n mount -t tmpfs -o size=20m tmpfs /mnt
check_fails "a disk that is too small" 1 n sbuild install "$REPOSITORY/bad:v1.0.1" --store /mnt/store
said 'bytes are missing in /mnt/store'
check_fails "who is not root" 1 n setpriv --reuid 1000 --clear-groups sbuild install "$REPOSITORY/bad:v1.0.0" --store /tmp/its
said 'root'
units >after
check "nothing was touched by any of these" cmp before after
