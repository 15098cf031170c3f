# Proxy variables and credentials are read as other tools read them.
. tests/faults/lib.sh
. "$TOP/tests/e2e/registry.lib"
need docker-registry python3
start_registry main
bb

# A proxy that says who was asked for, and refuses.
cat >proxy.py <<'END'
import http.server
class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, file=open("asked", "a"), flush=True)
        self.send_error(403)
    do_HEAD = do_CONNECT = do_GET
    def log_message(self, *what): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
print(server.server_port, flush=True)
server.serve_forever()
END
python3 proxy.py >proxy.out 2>proxy.err &
wait_for_line . proxy.out
proxy=http://127.0.0.1:$(cat proxy.out)
asked() { # NO_PROXY: whether the proxy was asked for registry.example.com:5000
	rm -f asked
	env https_proxy="$proxy" HTTPS_PROXY="$proxy" NO_PROXY="$1" no_proxy="$1" SBUILD_PATIENCE=0s \
		"$SBUILD" pull registry.example.com:5000/team/bb:v1 >/dev/null 2>&1 || :
	test -e asked && echo yes || echo no
}
check_equal "no exception" yes "$(asked '')"
for no in '*' example.com .example.com '*.example.com' example.com:5000 '10.0.0.1, registry.example.com'; do
	check_equal "an exception: $no" no "$(asked "$no")"
done
for no in example.com:5001 '*.example.net' .registry.example.com 127.0.0.1; do
	check_equal "no exception: $no" yes "$(asked "$no")"
done

mkdir docker
export DOCKER_CONFIG="$T/docker"
start_registry closed htpasswd
for key in "$REGISTRY" "http://$REGISTRY" "https://$REGISTRY/v1/" "https://$REGISTRY/v2/"; do
	printf '{"auths": {"%s": {"auth": "%s"}}}' "$key" "$(printf 'worker:%s' "$REGISTRY_PASSWORD" | base64 -w0)" >docker/config.json
	check "an entry for $key" "$SBUILD" push bb "$REGISTRY/team/bb:v1"
done
