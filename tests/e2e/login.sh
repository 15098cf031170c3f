#!/bin/sh
# sbuild login and logout, and pushes with what they keep: passwords, tokens, refresh tokens, helpers;
# nothing of them in arguments, environments, logs, errors or the store.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
. "$TOP/tests/e2e/peers.lib"
need jq
REGISTRY_PASSWORD=$REGISTRY_PASSWORD-$$ # looked for in all processes: other tests have theirs
export HOME="$T/home"
mkdir "$HOME"
unset DOCKER_CONFIG REGISTRY_AUTH_FILE XDG_RUNTIME_DIR
config=$HOME/.docker/config.json

login() { # HOST [OPTION…]: with the right password
	printf '%s\n' "$REGISTRY_PASSWORD" | "$SBUILD" login "$@" -u worker --password-stdin
}
login_wrong() {
	printf 'not the password' | "$SBUILD" login "$@" -u worker --password-stdin
}

mkdir context
echo hello >context/hello
head -c 20000000 /dev/urandom >context/large
printf 'name: app\nfrom: scratch\nlayers: [{name: files, copy: {from: context, to: /}}]\n' >app.yaml
"$SBUILD" app.yaml >digest 2>err
push() { "$SBUILD" push app "$REGISTRY/${1:-team}/app:v1"; }
pull() { "$SBUILD" pull "$REGISTRY/${1:-team}/app:v1" --store "$T/empty"; }

# Passwords.
start_registry basic htpasswd
basic=$REGISTRY
check_fails "no credentials" 5 push
check_said "registry $basic needs credentials"
check_said "sbuild login $basic"
check_fails "a wrong password" 5 login_wrong "$basic"
check_said 'refused the credentials for "worker"'
check "nothing is kept" test ! -e "$config"
check "login" login "$basic"
check_equal "for nobody else to read" 600 "$(stat -c %a "$config")"
check_equal "as docker keeps it" "worker:$REGISTRY_PASSWORD" "$(jq -r ".auths[\"$basic\"].auth" "$config" | base64 -d)"
check "push" push
check "logout" "$SBUILD" logout "$basic"
check_equal "it is gone" '{}' "$(jq -c .auths "$config")"
check "logout once more" "$SBUILD" logout "$basic"
check_fails "after it" 5 push
jq -n --arg h "http://$basic/v1/" --arg a "$(printf 'worker:stale' | base64)" '{auths: {($h): {auth: $a}}}' >"$config"
check_fails "refused ones" 5 push
check_said "refused the credentials for \"worker\" .from $config."
check "a URL as host" login "http://$basic/"
check "takes their place" test "$(jq '.auths | length' "$config")" = 1
check "push with them" push

# What can't be right.
for host in "" "a b" "http://" "$basic/team" '$(id)'; do
	check_fails "host '$host'" 2 login "$host"
done
no_terminal() { setsid "$SBUILD" login "$@" </dev/null; }
check_fails "no terminal" 2 no_terminal "$basic"
check_fails "no terminal, with a user" 2 no_terminal "$basic" -u worker
check_said --password-stdin
check_fails "an empty password" 2 "$SBUILD" login "$basic" -u worker --password-stdin </dev/null
check_fails "two lines" 2 sh -c "printf 'a\nb\n' | '$SBUILD' login '$basic' -u worker --password-stdin"
check_fails "a colon in the user" 2 "$SBUILD" login "$basic" -u a:b --password-stdin </dev/null
check_fails "no user" 2 "$SBUILD" login "$basic" --password-stdin </dev/null
check_fails "nobody there" 5 login "127.0.0.1:$(free_port)"

# On a terminal nothing is shown of the password.
rm -f "$config"
cat >terminal.py <<'END'
import os, pty, sys
password = open(sys.argv[1]).read()
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen = b""
while True:
    try:
        data = os.read(terminal, 1000)
    except OSError:
        break
    seen += data
    if seen.endswith(b"User: "):
        os.write(terminal, b"worker\n")
    if seen.endswith(b"Password: "):
        os.write(terminal, password.encode() + b"\n")
        seen += b"\n"
print(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
printf '%s' "$REGISTRY_PASSWORD" >password
check "on a terminal" python3 terminal.py password "$SBUILD" login "$basic"
cp .check shown
check "it asked" grep -q 'Password:' shown
check_fails "the password was not shown" 1 grep -qFf password shown

# Helpers: the file names one, the password is nowhere else.
mkdir bin
cat >bin/docker-credential-test <<'END'
#!/bin/sh
kept=${0%/*}/../kept input=$(cat)
case $1 in
get) cat "$kept" 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
store) printf '%s' "$input" >"$kept" ;;
erase) rm "$kept" ;;
esac
END
chmod +x bin/docker-credential-test
PATH=$T/bin:$PATH
echo '{"credsStore": "test", "HttpHeaders": {"A": "b"}}' >"$config"
check "login with a helper" login "$basic"
check_equal "the helper has it" "$REGISTRY_PASSWORD" "$(jq -r .Secret kept)"
check_equal "the file has not" "{\"credsStore\":\"test\",\"HttpHeaders\":{\"A\":\"b\"},\"auths\":{\"$basic\":{}}}" "$(jq -c . "$config")"
check "push by a helper" push helped
check "logout with a helper" "$SBUILD" logout "$basic"
check "the helper has it no more" test ! -e kept
echo '{"credsStore": "absent"}' >"$config"
check_fails "a helper that is missing" 5 push
check_said docker-credential-absent
check_said "$config names"
rm "$config"

# Other tools read what login writes, and the other way round.
if have_peer skopeo; then
	login "$basic" 2>err
	cp "$config" theirs.json
	check "skopeo reads it" peer skopeo inspect --tls-verify=false --authfile theirs.json "docker://$basic/team/app:v1"
	printf '%s' "$REGISTRY_PASSWORD" | peer skopeo login --tls-verify=false --authfile skopeo.json -u worker --password-stdin "$basic" >/dev/null
	"$SBUILD" logout "$basic" 2>err
	check "sbuild reads skopeo's" env REGISTRY_AUTH_FILE="$T/skopeo.json" "$SBUILD" push app "$basic/team/app:v2"
	mkdir -p run/containers
	mv skopeo.json run/containers/auth.json
	check "and podman's" env XDG_RUNTIME_DIR="$T/run" "$SBUILD" push app "$basic/team/app:v3"
else
	skip "skopeo is not installed"
fi

# TLS and tokens. A password that lasts: the issuer has no refresh tokens.
TOKEN_OPTIONS='--anonymous public/*=pull'
TOKEN_USERS='reader:read-only:team/*=pull'
start_registry tokens token,tls
tokens=$REGISTRY
check_fails "an authority that nobody trusts" 5 login "$tokens"
check_said certificate
check "login over TLS" login "$tokens" --ca ca.crt
mkdir -p "$HOME/.config/sbuild"
printf 'registries: {"%s": {ca: %s}}\n' "$tokens" "$T/ca.crt" >"$HOME/.config/sbuild/config.yaml"
check "push with tokens" push
check "one token is enough" test "$(grep -c '"scopes": \["repository:team/app:pull,push"\]' "$TOKEN_LOG")" = 1
check "push for all" push public
"$SBUILD" logout "$tokens" 2>err
check "anyone may pull" pull public
check_fails "but not this" 5 pull team
check_said "needs credentials"
check_fails "nor push" 5 "$SBUILD" push app "$tokens/public/app:other"
echo read-only | "$SBUILD" login "$tokens" -u reader --password-stdin 2>err
check "a reader pulls" pull team
check_fails "a reader can't push" 5 "$SBUILD" push app "$tokens/team/app:other"
check "it says what was denied, and to whom" grep -q 'denied "repository:team/app:.*push.*" to "reader"' said
stop_registry tokens

# Tokens that expire in the middle of a push.
TOKEN_OPTIONS='--expires 2'
start_registry short token
login "$REGISTRY" 2>err
check "tokens of two seconds" push
TOKEN_OPTIONS='--oauth2'
TOKEN_USERS=
start_registry refresh token
check "login for a refresh token" login "$REGISTRY"
check_equal "the password is not kept" "worker:" "$(jq -r ".auths[\"$REGISTRY\"].auth" "$config" | base64 -d)"
refresh=$(jq -r ".auths[\"$REGISTRY\"].identitytoken" "$config")
check "the refresh token is" test ${#refresh} -gt 20

# What anyone can see while a push runs. Patterns in a file: grep's own arguments are looked at, too.
{
	cat password
	echo
	printf 'worker:%s' "$REGISTRY_PASSWORD" | base64
	echo "$refresh"
} >secrets
look() {
	for process in /proc/[0-9]*; do
		grep -aFlf secrets "$process/cmdline" "$process/environ" 2>/dev/null || :
	done
}
head -c 60000000 /dev/urandom >context/larger
"$SBUILD" app.yaml >digest 2>>log
SECRET=$refresh sleep 60 &
until grep -aqFf secrets "/proc/$!/environ"; do sleep 0.05; done # it is what was forked for it
check_equal "looking finds what is there" "/proc/$!/environ" "$(look)"
kill $!
"$SBUILD" push app "$REGISTRY/team/app:v1" --progress plain >>log 2>&1 &
pushing=$!
while kill -0 $pushing 2>/dev/null; do
	children=$(cat /proc/$pushing/task/*/children 2>/dev/null || :)
	for child in $children; do
		grep -h 'core file' /proc/"$child"/limits >>limits 2>/dev/null || :
	done
	[ ! -s limits ] || look >>seen # which takes a while: not before sbuild-http runs
done
wait $pushing && status=0 || status=$?
check_equal "the push that was looked at" 0 $status
check "there was time to look" test -s limits
# It sets that itself, as the first thing it does.
check_equal "no core is written of it" 1 "$(tail -n 1 limits | grep -c 'size *0 *0 ' || :)"
check_equal "no secret in an argument or an environment" "" "$(sort -u seen)"
check_equal "none in what was printed, in logs or the store" "" \
	"$(grep -rlaFf secrets log err .check "$SBUILD_STORE" 2>/dev/null || :)"
