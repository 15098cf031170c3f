# An ordinary user pushes while it builds: a copy layer, then one that only downloads, which needs no
# namespace, so that what is being sent meanwhile is in nobody's way.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need_root
need docker-registry python3
test_user
start_registry main
mkdir served src
echo served >served/file
head -c 3000000 /dev/urandom >src/data
port=$(free_port)
python3 -m http.server "$port" --bind 127.0.0.1 --directory served >/dev/null 2>&1 &
wait_for_port() { for _ in $(seq 100); do ! python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null || return 0; sleep 0.05; done; }
wait_for_port
cat >app.yaml <<END
name: app
from: scratch
image: {repository: $REGISTRY/team/app}
layers:
  - {name: copied, copy: {from: src, to: /src}}
  - {name: fetched, download: {url: "http://127.0.0.1:$port/file", sha256: $(sha256sum served/file | cut -d ' ' -f 1), to: /file}}
END
chown -R "$user" "$T"
check "it is built and pushed" as_user "$SBUILD" build app.yaml --push --store "$T/home/store"
check "the registry has it" registry_get team/app/manifests/latest -f
