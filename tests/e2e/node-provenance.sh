#!/bin/sh
# A service's name belongs to the repository that it first came from: with the secrets and the data that
# are called by it. What another's bundle that says the same name is told, and how the name is moved.
. tests/e2e/node-service.lib
boot_node one
root=$(node_root one)
PORT=$(free_port)
make_service backend "$PORT" 'secrets: [key]' 'directories: {state: /data}'
release backend 1.0.0 >/dev/null 2>err || cat err
release backend 1.1.0 >/dev/null 2>err || cat err
"$SBUILD" bundle backend.yaml --version 1.1.0 -o "$root/root/same.tar" >/dev/null 2>err || cat err
# Another's, which says that it is called so too.
sed "s|^  repository: .*|  repository: $REPOSITORY/metrics|" backend.yaml >other.yaml
echo evil >backend/index.html
"$SBUILD" bundle other.yaml --push --version 2.0.0 >/dev/null 2>err || cat err
"$SBUILD" bundle other.yaml --version 2.0.0 -o "$root/root/other.tar" >/dev/null 2>err || cat err
sed '/^  repository: /d' other.yaml >nobodys.yaml
"$SBUILD" bundle nobodys.yaml --version 3.0.0 -o "$root/root/nobodys.tar" >/dev/null 2>err || cat err
mkdir -p "$root/etc/sbuild/secrets/backend"
echo s3cret >"$root/etc/sbuild/secrets/backend/key"
owner() { cat "$root/etc/sbuild/repositories/backend" 2>/dev/null || echo nobody; }

refused() { # WHAT ARGUMENT…
	refused_what=$1
	shift
	check_fails "$refused_what" 1 n sbuild install "$@"
	said "the name backend belongs to what came from $REPOSITORY/backend, and this comes from"
	said 'or with --replace'
	check_equal "$refused_what: what runs is what ran" "$serves" "$(ask "$PORT")"
	check_equal "$refused_what: the name stays" "$REPOSITORY/backend" "$(owner)"
}

check "the first that is called so" n sbuild install "$REPOSITORY/backend:v1.0.0"
check_equal "has the name" "$REPOSITORY/backend" "$(owner)"
serves=$(served "$PORT")
refused "another repository's" "$REPOSITORY/metrics:v2.0.0"
said "from $REPOSITORY/metrics"
refused "to be followed" "$REPOSITORY/metrics:v2.0.0" --auto
check_fails "follows nothing" 1 test -e "$root/etc/systemd/system/sbuild-auto-backend.timer"
refused "by the name in so many words" "$REPOSITORY/metrics:v2.0.0" --name backend
refused "a file, which says the right repository of itself" /root/same.tar
said 'comes from a file'
check "its own next release" n sbuild install "$REPOSITORY/backend:v1.1.0"
serves=$(served "$PORT")
check_equal "serves" 1.1.0 "$serves"
check "the very bundle that runs, as a file" n sbuild install /root/same.tar
check_equal "changes nothing" "$REPOSITORY/backend" "$(owner)"
check "under another name" n sbuild install "$REPOSITORY/backend:v1.0.0" --auto --interval 1h
serves=$(served "$PORT")
check "by digest" n sbuild install "$REPOSITORY/backend@$(n sbuild status --json | jq -r '.services[0].generations[1].image')"
serves=$(served "$PORT")
check "another name, beside it" sh -c 'nsenter -t "$1" -a -- /bin/mkdir -p /etc/sbuild/secrets/second && cp "$2/backend/key" "$2/second/key"' sh \
	"$(node_pid one)" "$root/etc/sbuild/secrets"
check_fails "of the same repository has its port" 1 n sbuild install "$REPOSITORY/backend:v1.0.0" --name second
said "port $PORT"

# An sbuild that didn't record it, and made no note.
rm "$root/etc/sbuild/repositories/backend"
for record in "$root"/../store/sbuild/services/backend/*/record.json; do
	jq 'del(.provenance)' "$record" >record && cat record >"$record"
done
check_fails "after an older sbuild" 1 n sbuild install "$REPOSITORY/metrics:v2.0.0"
said "belongs to what came from $REPOSITORY/backend"
check_equal "what runs is what ran" "$serves" "$(ask "$PORT")"

check "uninstall" n sbuild uninstall backend
check_equal "the name outlives it, as secrets and data do" "$REPOSITORY/backend" "$(owner)"
check_fails "another repository's, after it" 1 n sbuild install "$REPOSITORY/metrics:v2.0.0"
said "belongs to what came from $REPOSITORY/backend"
check_equal "leaves nothing" "" "$(n sbuild status --json | jq -r '.services[].name')"
check "its own comes again" n sbuild install "$REPOSITORY/backend:v1.0.0" --auto --interval 1h

check "moved" n sbuild install "$REPOSITORY/metrics:v2.0.0" --replace
said "backend belongs to what came from $REPOSITORY/metrics now, and no more to $REPOSITORY/backend"
said "backend no longer follows $REPOSITORY/backend:v1.0.0"
check_fails "follows nothing" 1 test -e "$root/etc/systemd/system/sbuild-auto-backend.timer"
check_equal "it is the other's now" "$REPOSITORY/metrics" "$(owner)"
check_equal "which serves" evil "$(served "$PORT")"
check_fails "and the first is a stranger" 1 n sbuild install "$REPOSITORY/backend:v1.1.0"
check "gone back to" n sbuild rollback backend
check "the one that runs has the name" n sbuild install "$REPOSITORY/backend:v1.1.0"
check_equal "again" "$REPOSITORY/backend" "$(owner)"

check "a file, in its place" n sbuild install /root/other.tar --replace
check_equal "has the name by hand" "file $REPOSITORY/metrics" "$(owner)"
check "another file, which says nothing of itself" n sbuild install /root/nobodys.tar
check_equal "takes nothing from it" "file $REPOSITORY/metrics" "$(owner)"
check_fails "and is no way to a third, which says another repository" 1 n sbuild install /root/same.tar
said "belongs to what came from a file (of $REPOSITORY/metrics)"
check_equal "nobody's serves still" evil "$(served "$PORT")"
sed 's|/health,|/nowhere,|' other.yaml >ill.yaml
sed "s|$REPOSITORY/metrics|$REPOSITORY/ill|" ill.yaml >ill2.yaml
"$SBUILD" bundle ill2.yaml --push --version 4.0.0 >/dev/null 2>err || cat err
check_fails "one that is to have the name, and is not healthy" 7 n sbuild install "$REPOSITORY/ill:v4.0.0" --replace
check_equal "has not got it" "file $REPOSITORY/metrics" "$(owner)"
check_fails "not the next time either" 1 n sbuild install "$REPOSITORY/ill:v4.0.0"
check_fails "a repository" 1 n sbuild install "$REPOSITORY/backend:v1.0.0"
check "uninstall" n sbuild uninstall backend

printf '%s\n' "$REPOSITORY/backend" >"$root/etc/sbuild/repositories/backend"
check_fails "a name that the administrator gave beforehand" 1 n sbuild install "$REPOSITORY/metrics:v2.0.0"
check "to this one" n sbuild install "$REPOSITORY/backend:v1.0.0"
check "uninstall" n sbuild uninstall backend
for text in 'x y' '../../etc' 'registry.example.com/a
registry.example.com/b' '/etc/passwd'; do
	printf '%s\n' "$text" >"$root/etc/sbuild/repositories/backend"
	check_fails "a note that says nothing is not passed over" 1 n sbuild install "$REPOSITORY/backend:v1.0.0"
	said 'does not say whose the name backend is'
done
