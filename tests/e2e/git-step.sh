#!/bin/sh
# git steps: commits of repositories that real servers have (git daemon, git http-backend), with
# submodules and files of LFS; what a hostile repository can't do; passwords.
. tests/e2e/lib.sh
need_root
need git python3 jq zstd curl
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
g() { git -c protocol.file.allow=always -c init.defaultBranch=main "$@"; }
commit() { g -C "$1" add -A && g -C "$1" commit -qm x && g -C "$1" rev-parse HEAD; }
mkdir repos

# A library, what uses it as a submodule, and what stands in the way of who checks it out.
g init -q lib && echo lib-1 >lib/lib.txt && commit lib >/dev/null
g init -q app && cd app
printf '*.crlf eol=crlf\nhidden.txt export-ignore\nsubst.txt export-subst\n*.run filter=evil\n*.id ident\n' >.gitattributes
printf 'a\nb\n' >text.crlf && echo hidden >hidden.txt && echo '$Format:%H$' >subst.txt && echo plain >x.run
printf '#!/bin/sh\n' >program && chmod +x program && mkdir "sub dir" && echo x >"sub dir/file name" && ln -s program link
printf '[filter "evil"]\n\tsmudge = touch /var/tmp/evil-smudge\n' >.gitconfig
g submodule --quiet add ../lib libs/lib 2>/dev/null && sed -i 's,url = .*,url = ../lib.git,' .gitmodules
cd .. && first=$(commit app)
g -C app tag -a -m one v1.0
echo second >app/second && second=$(commit app)
for repo in lib app; do g clone -q --bare $repo repos/$repo.git && g -C repos/$repo.git update-server-info; done

port=$(free_port) web=$(free_port)
git daemon --reuseaddr --listen=127.0.0.1 --port="$port" --export-all --base-path="$T/repos" "$T/repos" >daemon.log 2>&1 &
cat >web.py <<'EOP'
import base64, http.server, os, subprocess, sys
want = "Basic " + base64.b64encode(b"user:pass-word").decode()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self): self.answer(b"")
    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while (n := int(self.rfile.readline(), 16)):
                body += self.rfile.read(n); self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(body)
    def send(self, status, headers, data):
        self.send_response(status)
        for k, v in headers: self.send_header(k, v)
        self.send_header("Content-Length", str(len(data))); self.end_headers(); self.wfile.write(data)
    def answer(self, body):
        path, _, query = self.path.partition("?")
        if path.startswith("/private/"):
            if self.headers.get("Authorization") != want:
                return self.send(401, [("WWW-Authenticate", 'Basic realm="x"')], b"")
            path = path[len("/private"):]
        if path.startswith("/to-file/"):
            return self.send(302, [("Location", "file:///etc")], b"")
        if path.endswith("/objects/batch"):
            import json
            objects = [{"oid": o["oid"], "size": o["size"], "actions": {"download": {"href": f"http://{self.headers['Host']}/lfs/{o['oid']}"}}} for o in json.loads(body)["objects"]]
            return self.send(200, [("Content-Type", "application/vnd.git-lfs+json")], json.dumps({"transfer": "basic", "objects": objects}).encode())
        if path.startswith("/lfs/"):
            return self.send(200, [], open("lfs/" + os.path.basename(path), "rb").read())
        env = dict(os.environ, GIT_PROJECT_ROOT=os.path.abspath("repos"), GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query,
                   REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("Content-Type", ""), CONTENT_LENGTH=str(len(body)),
                   GIT_PROTOCOL=self.headers.get("Git-Protocol", ""), HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""), REMOTE_ADDR="127.0.0.1")
        out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout
        head, _, data = out.partition(b"\r\n\r\n")
        headers = [tuple(l.split(": ", 1)) for l in head.decode().split("\r\n") if ": " in l]
        status = next((int(v.split()[0]) for k, v in headers if k == "Status"), 200)
        self.send(status, [(k, v) for k, v in headers if k != "Status"], data)
    def log_message(self, *a): print(self.path, file=open("web.log", "a"))
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
EOP
python3 web.py "$web" 2>web.err &
until curl -so /dev/null "http://127.0.0.1:$web/lib.git/HEAD"; do sleep 0.1; done
until git ls-remote "git://127.0.0.1:$port/lib.git" >/dev/null 2>&1; do sleep 0.1; done
url=http://127.0.0.1:$web

recipe() { # STEP
	printf 'name: app\nfrom: scratch\nlayers: [{name: source, %s}]\n' "$1" >app.yaml
}
built() { # STEP OPTION…
	recipe "$1" && shift
	"$SBUILD" build app.yaml --progress plain --metadata-file meta "$@" >app.out 2>&1 || { tail -n 30 app.out; return 1; }
}
top() { zstd -dcq "$SBUILD_STORE/blobs/sha256/$(jq -r '.layers[-1].digest[7:]' meta)"; }
refused() { # WHAT STATUS STEP PATTERN
	recipe "$3"
	check_fails "$1" "$2" "$SBUILD" build app.yaml --progress plain
	check_said "$4"
}
plan() { "$SBUILD" plan app.yaml >plan.out 2>&1 && has plan.out "$1"; }

check "a commit, by http" built "git: {url: $url/app.git, commit: $first, to: /src/app, owner: '7:8'}"
digest=$(jq -r '.layers[-1].digest' meta)
mkdir out && top | tar --same-owner --numeric-owner -xpf - -C out
check_equal "its files are there, executable or not, without what git needs" \
	".gitattributes .gitconfig .gitmodules hidden.txt libs link program sub dir subst.txt text.crlf x.run" \
	"$(cd out/src/app && ls -A | sort | tr '\n' ' ' | sed 's/ $//')"
check_equal "line ends as .gitattributes says, nothing else" "61 0d 0a 62 0d 0a \$Format:%H\$ plain" \
	"$(cd out/src/app && echo $(od -An -tx1 text.crlf) $(cat subst.txt x.run))"
check_equal "modes, owners, times" "755 7:8 644 7:8 program $(stat -c %Y out/src/app/hidden.txt)" \
	"$(stat -c '%a %u:%g' out/src/app/program) $(stat -c '%a %u:%g' "out/src/app/sub dir/file name") $(readlink out/src/app/link) $(stat -c %Y out/src/app/program)"
check "no filter ran" test ! -e /var/tmp/evil-smudge
before=$(wc -l <web.log)
check "again: nothing to do" plan 'cached +app +source'
check_equal "and nothing asked" "$before" "$(wc -l <web.log)"
check "the same by git://, anew" built "git: {url: git://127.0.0.1:$port/app.git, commit: $first, to: /src/app, owner: '7:8'}" --no-cache
check_equal "is the same layer" "$digest" "$(jq -r '.layers[-1].digest' meta)"
check "a tag" built "git: {url: $url/app.git, tag: v1.0, to: /src/app, owner: '7:8'}"
check_equal "is that commit: nothing was built" "true $digest" "$(jq -r '.layers[-1] | "\(.cached) \(.digest)"' meta)"
check "a branch" built "git: {url: $url/app.git, branch: main, to: /src/app}"
check_equal "is its last" second "$(top | tar -xO src/app/second)"
echo third >app/second && third=$(commit app) && g -C app push -q ../repos/app.git main
check "which moved: built anew" plan 'build +app +source'
git -C repos/lib.git update-server-info && dumb=$(free_port)
python3 -m http.server -b 127.0.0.1 -d repos "$dumb" >/dev/null 2>&1 &
until curl -so /dev/null "http://127.0.0.1:$dumb/lib.git/HEAD"; do sleep 0.1; done
check "a server that gives no single commit" built "git: {url: http://127.0.0.1:$dumb/lib.git, commit: $(git -C repos/lib.git rev-parse main), to: /d}"
check_equal "all of it is fetched, and that commit taken" lib-1 "$(top | tar -xO d/lib.txt)"
check "submodules" built "git: {url: $url/app.git, commit: $first, submodules: true, to: /src}"
check_equal "at their place" lib-1 "$(top | tar -xO src/libs/lib/lib.txt)"

# ---- locked ----
recipe "git: {url: $url/app.git, branch: main, to: /src/app}"
check "a branch is locked" "$SBUILD" lock app.yaml
check "to its commit" has app.lock "\"$url/app.git refs/heads/main\": \"$third\""
echo fourth >app/fourth && fourth=$(commit app) && g -C app push -q ../repos/app.git main
check "it moves; the build stays" built "git: {url: $url/app.git, branch: main, to: /src/app}"
before=$(wc -l <web.log)
check_equal "at the commit that was locked" third "$(top | tar -xO src/app/second)"
check "again: nothing to do" plan 'cached +app +source'
check_equal "and nothing is asked" 0 "$(tail -n "+$((before + 1))" web.log | grep -c . || :)"
check "locked again it is as it was" sh -c '"$SBUILD" lock app.yaml | grep "as it was$"'
check "it is moved" sh -c '"$SBUILD" lock --update app.yaml | grep -- "$1 -> $2$"' sh "$third" "$fourth"
check "and built so" built "git: {url: $url/app.git, branch: main, to: /src/app}"
check_equal "from there" fourth "$(top | tar -xO src/app/fourth)"
check "what is not in the lock file" built "git: {url: $url/app.git, tag: v1.0, to: /src/app}"
check "is told of" has app.out "app.yaml:3:.*: $url/app.git refs/tags/v1.0 is not in the lock file; it is $first now"
check "update drops what is not named" sh -c '"$SBUILD" lock --update app.yaml | grep "refs/heads/main dropped$"'
sed -i "s/$first/main/" app.lock
check_fails "a lock file that says something else is refused" 3 "$SBUILD" plan app.yaml
check_said 'app.lock:4:.*expected a commit'
rm app.lock
cat >late.yaml <<END
name: late
from: scratch
layers: [{name: first, run: never}, {name: source, git: {url: $url/app.git, tag: v9, to: /src}}]
END
for command in plan build; do
	check_fails "$command says what names nothing, before any step" 1 "$SBUILD" "$command" late.yaml
	check_said 'late.yaml:3:.*app.git has no refs/tags/v9'
done

# ---- passwords ----
echo "http://user:pass-word@127.0.0.1:$web" >credentials
check "a repository that wants a password" built "git: {url: $url/private/app.git, tag: v1.0, to: /p}, secrets: [git_credentials]" --secret id=git_credentials,src=credentials
check_equal "which is nowhere" "" "$(grep -rlF pass-word "$SBUILD_STORE" app.out)"
check "its tag is locked with it" "$SBUILD" lock app.yaml --secret id=git_credentials,src=credentials
check_equal "which is not in the file" "" "$(grep -F pass-word app.lock)"
rm app.lock
refused "without it" 5 "git: {url: $url/private/app.git, tag: v1.0, to: /p}" 'secrets: \[git_credentials\]'
refused "without it, by commit" 4 "git: {url: $url/private/app.git, commit: $second, to: /other}" 'secrets: \[git_credentials\]'

# ---- Git LFS ----
if command -v git-lfs >/dev/null; then
	g init -q big && printf '*.bin filter=lfs diff=lfs merge=lfs -text\n' >big/.gitattributes
	mkdir lfs && echo large >lfs/x && oid=$(sha256sum lfs/x | cut -d' ' -f1) && mv lfs/x "lfs/$oid"
	printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 6\n' "$oid" >big/model.bin
	big=$(commit big) && g clone -q --bare big repos/big.git
	check "files of LFS" built "git: {url: $url/big.git, commit: $big, lfs: true, to: /m}"
	check_equal "are there" large "$(top | tar -xO m/model.bin)"
	printf '[lfs]\n\turl = %s/else\n' "$url" >big/.lfsconfig && moved=$(commit big) && g -C big push -q ../repos/big.git HEAD:main 2>/dev/null
	check "from a server that .lfsconfig names" built "git: {url: $url/big.git, commit: $moved, lfs: true, to: /m}"
	check_equal "they come" large "$(top | tar -xO m/model.bin)"
	check "from there" grep -q '^/else/objects/batch' web.log
	for server in file:///etc http://169.254.169.254/x 'http://a:b@127.0.0.1/x'; do
		git config -f big/.lfsconfig lfs.url "$server" && moved=$(commit big) && g -C big push -q ../repos/big.git HEAD:main 2>/dev/null
		refused ".lfsconfig with $server" 4 "git: {url: $url/big.git, commit: $moved, lfs: true, to: /m}" '.lfsconfig: '
	done
	check "without a word" built "git: {url: $url/big.git, commit: $big, to: /m}"
	check_equal "what stands for them" "oid sha256:$oid" "$(top | tar -xO m/model.bin | sed -n 2p)"
else
	skip "git-lfs is not installed"
fi

# ---- refused ----
evil() { # URL PATH: a commit with such a submodule
	rm -rf evil repos/evil.git && g init -q evil && printf '[submodule "x"]\n\tpath = %s\n\turl = %s\n' "$2" "$1" >evil/.gitmodules
	g -C evil add -A && g -C evil update-index --add --cacheinfo "160000,$first,$2" && g -C evil commit -qm x
	g clone -q --bare evil repos/evil.git
	echo "git: {url: $url/evil.git, commit: $(g -C evil rev-parse HEAD), submodules: true, to: /e}"
}
for transport in 'ext::touch /var/tmp/evil-smudge' "file://$T/repos/lib.git" "$T/repos/lib.git" 'ssh://-oProxyCommand=touch/x' 'git@github.com:a/b' -u./payload; do
	refused "a submodule at $transport" 4 "$(evil "$transport" lib)" 'only http, https and git are fetched'
done
for address in 169.254.169.254 2852039166 0251.254.169.254 '[fe80::1]'; do
	refused "a submodule at $address" 4 "$(evil "http://$address/lib.git" lib)" 'no server is asked at addresses of the local link'
done
refused "a submodule with a password" 4 "$(evil "http://a:b@127.0.0.1:$web/lib.git" lib)" 'its url has a user or a password'
check "none of them ran anything" test ! -e /var/tmp/evil-smudge
refused "a redirect to a file" '[45]' "git: {url: $url/to-file/x.git, commit: $first, to: /never}" 'fetching the commit .* failed|not allowed|error'
refused "no such tag" 1 "git: {url: $url/app.git, tag: v9, to: /x}" 'has no refs/tags/v9'
refused "no such commit" 4 "git: {url: $url/app.git, commit: 4e8f0a7d2c1b9e6f5a3d8c7b6a5f4e3d2c1b0a99, to: /x}" 'has no commit 4e8f0a7'
refused "no such repository" '[45]' "git: {url: $url/none.git, tag: v1, to: /x}" 'not found'
# A link in the commit leads nowhere but within the image.
g init -q links && ln -s /etc links/etc && commit links >/dev/null && g clone -q --bare links repos/links.git
check "a link out" built "git: {url: $url/links.git, branch: main, to: /l}"
check_equal "is a link" /etc "$(top | tar -tvf - | sed -n 's/.* -> //p')"
# One that never comes to its end.
silent=$(free_port)
python3 -c 'import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
kept = []
while True: kept.append(s.accept())' "$silent" &
settings <<END
limits: {download: 2s}
END
refused "a server that never says anything" 4 "git: {url: git://127.0.0.1:$silent/x.git, commit: $first, to: /never}" 'took longer than 2'
check_said 'limits: .download'
refused "a name that is never told" 5 "git: {url: git://127.0.0.1:$silent/x.git, tag: v1, to: /never}" 'no answer within 2 seconds'
check_equal "no directory of git's is left" "" "$(ls -d "$SBUILD_STORE"/sbuild/tmp/*/git-* 2>/dev/null)"
check_store "after all of this"
