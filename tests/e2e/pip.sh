#!/bin/sh
# What pip steps read of the context: included files, constraints, projects, archives, indexes that
# want a password; all of it is in the layer's key, and none of it in the layer.
. tests/e2e/lib.sh
need_root
need python3 jq runc zstd curl openssl
cat >deb.yaml <<'EOR'
name: deb
from: {debian: bookworm}
layers: [{name: pip, apt: [python3, python3-pip]}]
EOR
[ -z "${PIP_STORE:-}" ] || cp -a "$PIP_STORE" store
"$SBUILD" build deb.yaml >deb.out 2>&1 || { skip_without_mirror deb.out && cat deb.out && exit 1; }

# Wheels of one module each, an index of them, and one that asks for a password.
mkdir -p www/simple context/req context/wheels
cat >wheel.py <<'EOR'
import base64, hashlib, os, sys, zipfile
def wheel(directory, name, version, requires=()):
    info = f"{name}-{version}.dist-info/"
    meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {r}\n" for r in requires)
    files = {f"{name}.py": f"version = '{version}'\n", info + "METADATA": meta,
             info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    record = "".join(f"{p},sha256={base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest()).rstrip(b'=').decode()},{len(t)}\n" for p, t in files.items())
    path = os.path.join(directory, f"{name}-{version}-py3-none-any.whl")
    with zipfile.ZipFile(path, "w") as z:
        for p, t in files.items():
            z.writestr(zipfile.ZipInfo(p), t)
        z.writestr(zipfile.ZipInfo(info + "RECORD"), record + info + "RECORD,,\n")
    return path
EOR
python3 - <<'EOR'
import sys; sys.path.insert(0, ".")
import os
from wheel import wheel
for name, versions in {"aa": ["1.0", "2.0"], "bb": ["1.0", "2.0"], "cc": ["1.0"], "secretpkg": ["1.0"]}.items():
    os.makedirs(f"www/simple/{name}")
    for v in versions:
        wheel(f"www/simple/{name}", name, v)
wheel("context", "dd", "1.0"); wheel("context/wheels", "ee", "1.0")
EOR
cat >server.py <<'EOR'
import base64, functools, http.server, sys
want = "Basic " + base64.b64encode(b"user:pass-word").decode()
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if "secretpkg" in self.path and self.headers.get("Authorization") != want:
            self.send_response(401); self.send_header("WWW-Authenticate", "Basic"); self.end_headers(); return
        super().do_GET()
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), functools.partial(Handler, directory="www")).serve_forever()
EOR
port=$(free_port)
python3 server.py "$port" &
until curl -so /dev/null "http://127.0.0.1:$port/"; do sleep 0.1; done
index=http://127.0.0.1:$port/simple

# A project whose build needs nothing but itself, and writes beside its source.
mkdir -p context/libs/core/src
cat >context/libs/core/pyproject.toml <<'EOR'
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
EOR
cp wheel.py context/libs/core/wheel.py
cat >context/libs/core/backend.py <<'EOR'
import os, sys
sys.path.insert(0, os.path.dirname(__file__))
from wheel import wheel
def build_wheel(directory, config_settings=None, metadata_directory=None):
    open("written-beside", "w").close()
    return os.path.basename(wheel(directory, "core", open("src/version").read().strip()))
build_editable = build_wheel
EOR
echo 1.0 >context/libs/core/src/version
printf '# all\n-r base.txt # what all need\n  --constraint=../c.txt\n./libs/core ; python_version >= "3"\n./dd-1.0-py3-none-any.whl\n--find-links ../wheels\nee\n' >context/req/prod.txt
printf 'aa \\\n  >=1.0 \\\n  # a comment ends it\n\n-r ./more.txt\n' >context/req/base.txt
printf 'bb\ncc==1.0 --hash=sha256:%s\n' "$(sha256sum www/simple/cc/*.whl | cut -d' ' -f1)" | grep -v cc >context/req/more.txt
printf 'aa==1.0\nbb<2\n' >context/c.txt
cat >app.yaml <<EOR
name: app
from: deb.yaml
context: context
layers:
  - {name: deps, pip: {requirements: req/prod.txt, index_url: "$index"}}
image: {env: {HOME: /tmp}}
EOR
built() { "$SBUILD" build app.yaml --progress plain --metadata-file meta >app.out 2>&1 || { tail -n 40 app.out; return 1; }; }
plan() { "$SBUILD" plan app.yaml >plan.out 2>&1 && has plan.out "$1"; }
top() { zstd -dcq "$SBUILD_STORE/blobs/sha256/$(jq -r '.layers[-1].digest[7:]' meta)"; }
site() { top | tar -xO "usr/local/lib/python3.11/dist-packages/$1"; }
check "requirements with all that they name" built
for module in aa bb core dd ee; do
	check_equal "$module is installed, as constraints say" "version = '1.0'" "$(site $module.py)"
done

top | tar -tf - >names
check_equal "no cache, and nothing of the context, is in the image" "" \
	"$(grep -E '^(tmp|run|root)/.|written-beside' names)"
check_equal "nor was anything written into the context" "" "$(find context -name written-beside)"
mkdir -p context/libs/core/.git context/libs/core/__pycache__ && echo x | tee context/libs/core/.git/index >context/libs/core/__pycache__/x.pyc
check "again, with what git and Python leave in a project: nothing to do" plan 'cached +app +deps'
changed() { # FILE
	cp -p "$1" kept && echo "# x" >>"$1"
	check "a change of $1 builds it again" plan "${1#context/} changed"
	cp -p kept "$1"
}
changed context/libs/core/src/version
changed context/req/more.txt
changed context/c.txt
changed context/dd-1.0-py3-none-any.whl
touch context/wheels/ff.txt
check "as a new file does" plan 'wheels/ff.txt added'

# ---- editable, several files, project:, extra index ----
printf -- '-e ./libs/core\n--editable=libs/core\n' >context/req/edit.txt
cat >app.yaml <<EOR
name: app
from: deb.yaml
context: context
layers:
  - name: deps
    pip: {requirements: [req/edit.txt, req/more.txt], constraints: c.txt, project: libs/core, packages: [cc],
          index_url: "http://127.0.0.1:$port/none", extra_index_urls: ["$index"]}
EOR
check "editable projects, several files, project:" built
check_equal "what is editable is installed as it is" "version = '1.0'" "$(site core.py)"
check_equal "from the further index" "version = '1.0'" "$(site cc.py)"

# ---- one that fails ----
mkdir context/broken
echo 'raise SystemExit("it is broken")' >context/broken/setup.py
printf 'name: app\nfrom: deb.yaml\ncontext: context\nlayers: [{name: deps, pip: {project: broken, index_url: "%s"}}]\n' "$index" >app.yaml
check_fails "a project that can't be built" 4 "$SBUILD" app.yaml
check_equal "a look at where pip failed: what it had of the context is there" "/run/sbuild/pip broken" \
	"$("$SBUILD" run --failed sh -c 'echo $PWD $(ls)' 2>err)"

# ---- an index with a password ----
printf '[global]\nindex-url = http://user:pass-word@127.0.0.1:%s/simple\n' "$port" >pip.conf
secrets() { # SECRETS
	printf 'name: app\nfrom: deb.yaml\nlayers: [{name: deps, pip: [secretpkg], secrets: [%s]}]\n' "$1" >app.yaml
	"$SBUILD" build app.yaml --progress plain --secret id=pip_conf,src=pip.conf --secret id=index,env=INDEX >app.out 2>&1 ||
		{ tail -n 40 app.out; return 1; }
}
export INDEX="http://user:pass-word@127.0.0.1:$port/simple"
check "pip_conf alone" secrets pip_conf
check "another place" secrets '{name: pip_conf, to: /etc/pip.conf}'
check "a variable" secrets '{name: index, env: PIP_INDEX_URL}'
check_equal "the password is in no file of the store" "" "$(grep -rlF pass-word "$SBUILD_STORE" app.out)"

# ---- an index, and an archive, of an authority that only the settings know ----
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ours -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout tls.key -out tls.csr 2>/dev/null
printf 'subjectAltName=DNS:localhost\n' >tls.ext
openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile tls.ext -out tls.pem 2>/dev/null
cat >tls.py <<'EOR'
import functools, http.server, ssl, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), functools.partial(Handler, directory="www"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("tls.pem", "tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
EOR
tls=$(free_port)
python3 tls.py "$tls" &
until curl -so /dev/null --cacert ca.pem "https://localhost:$tls/"; do sleep 0.1; done
mkdir www/archive && : >www/archive/Packages
cat >app.yaml <<EOR
name: app
from: deb.yaml
layers:
  - {name: deps, pip: {packages: [cc], index_url: "https://localhost:$tls/simple"}}
  - name: others
    network: host
    run: |
      python3 -c 'import urllib.request as u; print(u.urlopen("https://localhost:$tls/simple/cc/").status)' >/status
      echo "deb [trusted=yes] https://localhost:$tls/archive ./" >/tmp/one.list
      apt-get -q -oDir::Etc::SourceList=/tmp/one.list -oDir::Etc::SourceParts=- -oAPT::Update::Error-Mode=any update
      rm /tmp/one.list
  - name: own
    network: host
    env: {PIP_CERT: /usr/own.pem, DENO_CERT: /run/secrets/x}
    run: |
      echo '# own' >/usr/own.pem
      python3 -c 'import os; print(os.environ["DENO_CERT"])' >/deno
  - name: combined
    network: host
    env: {PIP_CERT: /usr/own.pem}
    run: grep -c '# own' "\$PIP_CERT" >/combined
  - {name: offline, run: "env | grep authorities && exit 1; ls /run/sbuild-authorities && exit 1; true"}
EOR
! "$SBUILD" build app.yaml >app.out 2>&1
check "without the settings pip believes nobody" has app.out 'CERTIFICATE_VERIFY_FAILED|certificate verify failed'
printf 'steps: {authorities: "%s"}\n' "$T/ca.pem" >sbuild.yaml
check_fails "a project can't say it" 3 "$SBUILD" plan app.yaml
check_said 'sbuild.yaml:1:9: key "authorities": not for a project'
rm sbuild.yaml
settings <<'EOR'
steps: {authorities: ../../tls.key}
EOR
check_fails "a private key is refused, before any step" 2 "$SBUILD" plan app.yaml
check_said 'tls.key holds a private key'
check "and by the build" sh -c "! '$SBUILD' build app.yaml >app.out 2>&1 && ! grep building app.out"
settings <<'EOR'
steps: {authorities: nowhere.pem}
EOR
check_fails "so is one that is not there" 1 "$SBUILD" build app.yaml
check_said 'steps: .authorities: .*nowhere.pem'
settings <<'EOR'
steps: {authorities: ../../ca.pem}
EOR
check "with the settings, pip, Python and apt do" built
content() { "$SBUILD" export app --format rootfs -o - | tar -xO "${1#/}"; }
check_equal "Python" 200 "$(content /status)"
check_equal "what can't be read is left as it is" /run/secrets/x "$(content /deno)"
check_equal "what a step names itself is believed along with it" 1 "$(content /combined)"
"$SBUILD" ls app -R --layers >names
check_equal "no image has any of it" "" "$(grep -i authorities names; "$SBUILD" inspect app --config | grep -i authorit)"
check_equal "nor has the store: the certificate" "" \
	"$(sed -n 2p ca.pem | xargs -I{} grep -rlF {} "$SBUILD_STORE" --include='*.json' --include='*.log')"
unset XDG_CONFIG_HOME
check_equal "nor any key" "" "$("$SBUILD" plan app.yaml | grep -v '^cached')"
check_store "after authorities"

# ---- real indexes: PyPI, and one of our own beside it ----
printf 'six==1.16.0 \\\n  --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254\n' >context/req/hashed.txt
# The authorities of this machine: PyPI may be reached through a proxy with one of its own.
printf '[global]\ncert = /run/secrets/ca\n' >pypi.conf
real() { # PIP
	printf 'name: app\nfrom: deb.yaml\ncontext: context\nlayers: [{name: deps, pip: %s, secrets: [pip_conf, ca]}]\n' "$1" >app.yaml
	"$SBUILD" build app.yaml --progress plain --metadata-file meta --secret id=pip_conf,src=pypi.conf \
		--secret id=ca,src=/etc/ssl/certs/ca-certificates.crt >pypi.out 2>&1 || { tail -n 40 pypi.out; return 1; }
}
if real '{requirements: req/hashed.txt}' >/dev/null; then
	check_equal "from PyPI, by its hash" 1.16.0 "$(site six.py | sed -n 's/^__version__ = "\(.*\)"/\1/p')"
	python3 -m venv pypi-server && pypi-server/bin/pip install -q pypiserver >venv.out 2>&1 || cat venv.out
	second=$(free_port)
	mkdir -p packages && cp context/dd-1.0-py3-none-any.whl packages/
	pypi-server/bin/pypi-server run -i 127.0.0.1 -p "$second" -P . -a . --disable-fallback packages >pypiserver.log 2>&1 &
	until curl -so /dev/null "http://127.0.0.1:$second/simple/"; do sleep 0.2; kill -0 $! || break; done
	check "packages of PyPI and of a second index" real "{packages: [dd, six], extra_index_urls: \"http://127.0.0.1:$second/simple\"}"
	check_equal "of the second" "version = '1.0'" "$(site dd.py)"
	check_equal "nothing else is in the layer" "" "$(top | tar -t | grep -E '^(root|tmp|run)/.|pip.*cache')"
elif grep -Eq 'Could not (resolve|connect|fetch)|No matching distribution|Network is unreachable|Connection' pypi.out; then
	skip "PyPI can't be reached: $(grep -E 'Could not|No matching' pypi.out | tail -n 1)"
else
	check "from PyPI" sh -c "cat pypi.out; false"
fi

# ---- conda ----
printf 'name: x\nchannels: []\ndependencies: []\n' >context/environment.yml
printf 'name: app\nfrom: deb.yaml\ncontext: context\nlayers: [{name: env, conda: {environment: environment.yml, prefix: /opt/env}}]\n' >app.yaml
check_fails "an image without conda" 4 "$SBUILD" build app.yaml
check_said 'there is no micromamba, mamba or conda'
if command -v micromamba >/dev/null; then
	cp "$(command -v micromamba)" context/micromamba
	printf 'name: app\nfrom: deb.yaml\ncontext: context\nlayers:\n  - {name: tool, copy: {from: micromamba, to: /usr/local/bin/}}\n  - {name: env, conda: {environment: environment.yml, prefix: /opt/env}}\n' >app.yaml
	check "an environment by micromamba" built
	check "is at its prefix" sh -c "zstd -dcq '$SBUILD_STORE'/blobs/sha256/$(jq -r '.layers[-1].digest[7:]' meta) | tar -t | grep -q opt/env/conda-meta/"
else
	skip "conda: there is no micromamba here to make an environment with"
fi

# ---- mistakes ----
wrong() { # WHAT TEXT PATTERN
	printf -- "$2" >context/req/bad.txt
	printf 'name: app\nfrom: scratch\ncontext: context\nlayers: [{name: deps, pip: {requirements: req/bad.txt}}]\n' >app.yaml
	check_fails "$1" '[13]' "$SBUILD" plan app.yaml
	check_said "$3"
}
wrong "a missing file" '# x\n\n-r nowhere.txt\n' 'req/bad.txt:3: nowhere.txt: there is no req/nowhere.txt'
wrong "a missing constraint" 'aa\n-c"../no where.txt"\n' 'req/bad.txt:2: ../no where.txt: there is no no where.txt'
wrong "a missing project" 'aa\\\n==1\n./nowhere[x]\n' 'req/bad.txt:3: ./nowhere\[x\]: there is no nowhere'
wrong "missing wheels" '-f nowhere\n' 'req/bad.txt:1: nowhere: there is no nowhere'
wrong "a way out" '-r ../../etc/passwd\n' 'req/bad.txt:1: ../../etc/passwd lies outside the context'
wrong "another way out" 'x @ file:../secret\n' 'req/bad.txt:1: ../secret lies outside the context'
wrong "a circle" '-r bad2.txt\n' 'bad2.txt'
echo '-r bad.txt' >context/req/bad2.txt
wrong "a circle, closed" '-r bad2.txt\n' 'req/bad2.txt:1: req/bad.txt includes itself'
ln -s /etc/passwd context/req/link.txt
wrong "a link" '-r link.txt\n' 'link'
wrong "a variable" '-r ${X}/a.txt\n' 'environment variable'
check_store "after all of this"
