#!/bin/sh
# Directories of a node that services may read: those that its operator allows, by the recipe or by a drop-in.
. tests/e2e/node-service.lib
boot_node one
PORT=$(free_port)
inside() { # COMMAND…
	n chroot "/proc/$(n systemctl show -P MainPID models)/root" "$@"
}
n sh -c 'mkdir -p /srv/models/llm /srv/other /var/lib/theirs && echo weights >/srv/models/llm/a && echo secret >/srv/other/b'
allow() { # FILE LINE
	n sh -c 'mkdir -p /etc/sbuild/host-directories && echo "$2" >"/etc/sbuild/host-directories/$1"' sh "$1" "$2"
}
make_service models "$PORT" 'directories: {state: /data, host: {/srv/models: /models}}'
release models 1.0.0 >/dev/null 2>err || cat err
state() { n sh -c 'find /etc /var/lib/sbuild/sbuild/services /srv -newer /before 2>/dev/null' || :; }

# ---- who allows it ----

n touch /before
check_fails "what nobody allowed" 1 n sbuild install "$REPOSITORY/models:v1"
said 'models asks for the directory /srv/models of this node, which is not allowed'
said 'write the line /srv/models into /etc/sbuild/host-directories/models'
check_equal "nothing of it is there" "" "$(n sh -c 'ls /etc/systemd/system | grep models' || :)"
allow other /srv/models
allow models /srv/other
check_fails "for another service, or another directory" 1 n sbuild install "$REPOSITORY/models:v1"
allow models /srv/models
check "what is allowed" n sbuild install "$REPOSITORY/models:v1"
check_equal "is there" weights "$(inside /bin/cat /models/llm/a)"
check_fails "to be read only" 1 inside /bin/sh -c 'echo >/models/x'
check_fails "and nothing else of the node" 1 inside /bin/ls /srv/other
check_equal "nothing was made in it" "llm" "$(n ls /srv/models)"
n sh -c 'echo more >/srv/models/llm/b'
check_equal "what comes later is seen" more "$(inside /bin/cat /models/llm/b)"
n rm /etc/sbuild/host-directories/models
allow ALL /srv
release models 1.1.0 >/dev/null 2>err || cat err
check "a directory above it, for all services" n sbuild install "$REPOSITORY/models:v1.1.0"

# ---- what is missing ----

n mv /srv/models /srv/away
release models 1.2.0 >/dev/null 2>err || cat err
before=$(n systemctl show -P MainPID models)
check_fails "a directory that is not there" 1 n sbuild install "$REPOSITORY/models:v1.2.0"
said 'models needs the directory /srv/models, which this node does not have'
check_fails "before one that was is gone back to, too" 1 n sbuild rollback models
check_equal "what runs was left alone" "$before" "$(n systemctl show -P MainPID models)"
n mv /srv/away /srv/models
check "with it there is a way back" n sbuild rollback models
check_equal "and it is seen" weights "$(inside /bin/cat /models/llm/a)"

# ---- what no service is shown, whatever is allowed ----

allow ALL /
n sh -c 'ln -s /etc /srv/link; mkdir -p /etc/sbuild/directories; echo /var/lib/theirs >/etc/sbuild/directories/theirs; ln -s /var/lib/sbuild /srv/store'
refused() { # DIRECTORY
	sed -i "s|host: {.*|host: {$1: /models}}|" models.yaml
	release models "2.0.$((refusals = ${refusals:-0} + 1))" >/dev/null 2>err || cat err
	check_fails "$1" 1 n sbuild install "$REPOSITORY/models:v2.0.$refusals"
	said 'which no service is shown'
}
refused /srv/link
refused /srv/store/sbuild
refused /var/lib/theirs
refused /var/lib/models
sed -i "s|host: {.*|host: {/srv/models: /bin/more}}|" models.yaml
release models 3.0.0 >/dev/null 2>err || cat err
check_fails "where the image has a link" 1 n sbuild install "$REPOSITORY/models:v3.0.0"
said 'leads through a symbolic link of its image'
sed -i "s|host: {.*|host: {/srv/models: /bin/busybox}}|" models.yaml
release models 3.0.1 >/dev/null 2>err || cat err
check_fails "where the image has a file" 1 n sbuild install "$REPOSITORY/models:v3.0.1"
said 'nothing can be mounted at /bin/busybox of models'
check_equal "the one that runs was left alone" 1.0.0 "$(ask "$PORT")"

# ---- by a drop-in ----

n sh -c 'mkdir -p /etc/systemd/system/models.service.d && printf "[Service]\nBindReadOnlyPaths=-/nowhere /srv/other:/other/place:rbind \\\\\n  /etc/hostname:/host.name\nTemporaryFileSystem=/scratch:size=1M\n" >/etc/systemd/system/models.service.d/more.conf'
sed -i "s|host: {.*|host: {/srv/models: /models}}|" models.yaml
release models 1.3.0 >/dev/null 2>err || cat err
check "a release with a drop-in" n sbuild install "$REPOSITORY/models:v1.3.0"
check_equal "shows what it names" "secret" "$(inside /bin/cat /other/place/b)"
check_equal "files, too" "$(n cat /etc/hostname)" "$(inside /bin/cat /host.name)"
check "and what is made for it" inside /bin/sh -c 'test -d /scratch'
n sh -c 'printf "BindReadOnlyPaths=/srv/other:/added\n" >>/etc/systemd/system/models.service.d/more.conf'
check "what was added since" n sbuild install "$REPOSITORY/models:v1.3.0"
check_equal "is there when it is installed again" "secret" "$(inside /bin/cat /added/b)"
before=$(fact=$(n sbuild status models --json) && echo "$fact" | jq '.services[0].generation')
check "once more" n sbuild install "$REPOSITORY/models:v1.3.0"
check_equal "nothing is done" "$before" "$(n sbuild status models --json | jq '.services[0].generation')"
check "generations from before the drop-in are gone back to" n sbuild rollback models 1
check_equal "with what it names" "secret weights" "$(inside /bin/cat /added/b) $(inside /bin/cat /models/llm/a)"
check "after a boot" sh -c 'true'
kill_node one
boot_node one
check "it serves" wait_for 30 ask "$PORT"
check_equal "with all of it" "secret weights" "$(inside /bin/cat /added/b) $(inside /bin/cat /models/llm/a)"
