#!/bin/sh
# Downloads whose servers break off, lie about ranges, are away or busy for a while, or refuse.
. tests/e2e/lib.sh
need python3
unset SBUILD_PATIENCE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy no_proxy 2>/dev/null || :
cat >server.py <<'END'
import http.server, json, random, sys, threading, time, urllib.parse
data = random.Random(1).randbytes(3_000_000)
other = random.Random(2).randbytes(3_000_000)
counts = {}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def head(self, status, body, length=None, **headers):
        self.send_response(status)
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True
    def part(self, frm, to, body=data, tag='"1"', cut=None, status=206, total=None, shown=None):
        bytes_ = body[frm:to]
        shown = frm if shown is None else shown
        self.head(status, bytes_[:cut], len(bytes_), ETag=tag, Content_Range="bytes %d-%d/%s" % (shown, shown + len(bytes_) - 1, total or len(body)))
    def do_GET(self):
        name = urllib.parse.urlparse(self.path).path.split("/")[1]
        n = counts[name] = counts.get(name, 0) + 1
        asked = self.headers.get("Range")
        frm = int(asked[6:-1]) if asked else 0
        with open("asked", "a") as log:
            print(name, n, asked, self.headers.get("If-Range"), file=log)
        half = len(data) // 2
        if name == "plain":
            self.head(200, data)
        elif name == "ranges":      # breaks off after each megabyte
            if not asked:
                self.head(200, data[:1_000_000], len(data), ETag='"1"')
            else:
                self.part(frm, len(data), cut=1_000_000)
        elif name == "weak":        # as ranges, with a tag that is no promise
            if not asked:
                self.head(200, data[:half], len(data), ETag='W/"1"')
            else:
                self.part(frm, len(data), tag='W/"1"')
        elif name == "norange":     # breaks off twice
            self.head(200, data if n > 2 else data[:half + n], len(data))
        elif name == "shrinking":   # gets less far each time, then whole
            self.head(200, data if n > 3 else data[:half // n], len(data))
        elif name == "never":
            self.head(200, data[:half], len(data))
        elif name == "capped":      # sends no more than a megabyte for a range, and says so
            if not asked:
                self.head(200, data[:half], len(data))
            else:
                self.part(frm, min(frm + 1_000_000, len(data)))
        elif name == "changed":     # was exchanged meanwhile; If-Range is kept
            if n == 1:
                self.head(200, other[:half], len(other), ETag='"0"')
            elif self.headers.get("If-Range") == '"1"' and asked:
                self.part(frm, len(data))
            else:
                self.head(200, data, ETag='"1"')
        elif name == "mixed":       # exchanged, and the range is of the new one all the same
            if n == 1:
                self.head(200, other[:half], len(other), ETag='"0"')
            elif asked:
                self.part(frm, len(data))
            else:
                self.head(200, data, ETag='"1"')
        elif name == "untagged":    # the same without tags: only the digest tells
            if n == 1:
                self.head(200, other[:half], len(other))
            elif asked:
                body = data[frm:]
                self.head(206, body, Content_Range="bytes %d-%d/%d" % (frm, len(data) - 1, len(data)))
            else:
                self.head(200, data)
        elif name == "elsewhere":   # another part than was asked for
            if asked:
                self.part(frm + 7, len(data))
            else:
                self.head(200, data if n > 1 else data[:half], len(data))
        elif name == "liar":        # says the right part, sends another
            if asked:
                self.part(frm - 9, len(data) - 9, shown=frm)
            else:
                self.head(200, data if n > 1 else data[:half], len(data))
        elif name == "beyond":      # has it all, and is asked for what is behind the end
            if n == 1:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")
                self.close_connection = True
            elif asked:
                self.head(416, b"", Content_Range="bytes */%d" % len(data))
            else:
                self.head(200, data)
        elif name == "shorter":     # has less than was fetched
            if n == 1:
                self.head(200, other[:half], len(other))
            elif asked:
                self.head(416, b"", Content_Range="bytes */5")
            else:
                self.head(200, data)
        elif name == "endless":     # no length, no chunks: an early end is no error
            self.head(200, data if n > 1 else data[:half], -1, Connection="close")
        elif name == "busy":
            self.head(503, b"", Retry_After="1") if n < 3 else self.head(200, data)
        elif name == "flaky":
            self.head([500, 502, 504, 408, 429, 425][n - 1], b"") if n < 7 else self.head(200, data)
        elif name == "redirected":  # to another place each time, as archives' mirrors are
            self.head(302, b"", Location="/to%d/x" % n)
        elif name in ("to1", "to2"):
            self.head(200, data[:half], len(data), ETag='"%s"' % name) if name == "to1" else \
                self.part(frm, len(data), tag='"to1"') if self.headers.get("If-Range") == '"to1"' else self.head(200, data)
        elif name in ("403", "404", "401", "410", "501"):
            self.head(int(name), b"")
        elif name == "wrong":
            self.head(200, other)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *args):
        pass
port = int(sys.argv[1])
open("data", "wb").write(data)
server = Server(("127.0.0.1", port), Handler)
open("ready", "w").close()
server.serve_forever()
END
port=$(free_port)
serve() {
	rm -f ready
	python3 server.py "$port" &
	server=$!
	for _ in $(seq 100); do [ -e ready ] || sleep 0.1; done
}
serve
sum=$(sha256sum data)
recipe() { # NAME
	cat >"$1.yaml" <<-END
		name: d
		from: scratch
		layers: [{name: d, download: {url: "http://127.0.0.1:$port/$1/x?token=secret", sha256: ${sum%% *}, to: /x}}]
	END
	rm -rf "$SBUILD_STORE/sbuild/caches/downloads"
}
fetched() { # NAME: it comes, whole
	recipe "$1"
	: >asked
	check "$1: it comes" timeout 60 "$SBUILD" build "$1.yaml" --no-cache
}
requests() { grep -c "^$1 " asked || :; }

fetched plain
check_equal "in one request" 1 "$(requests plain)"
fetched ranges
check_equal "ranges: each goes on where the one before stopped" "ranges 1 None None,ranges 2 bytes=1000000- \"1\",ranges 3 bytes=2000000- \"1\"" "$(paste -sd, asked)"
fetched weak
check_equal "a weak tag is no condition" "weak 2 bytes=1500000- None" "$(tail -n 1 asked)"
for name in norange shrinking capped changed mixed untagged elsewhere liar beyond shorter endless busy flaky redirected; do
	fetched $name
done
recipe never
start=$(date +%s)
check_fails "never: it ends" 5 timeout 100 "$SBUILD" build never.yaml --no-cache
check_said 'broke off 5 times'
check "soon" test $(($(date +%s) - start)) -lt 30
for name in 401 403 404 410 501; do
	recipe $name
	: >asked
	check_fails "$name fails" 5 "$SBUILD" build $name.yaml --no-cache
	check_said "fetching http://127.0.0.1:$port/$name/x failed: .*status $name"
	check_equal "at once" 1 "$(requests $name)"
done
recipe wrong
: >asked
check_fails "another file" 6 "$SBUILD" build wrong.yaml --no-cache
check_equal "is not asked for again" 1 "$(requests wrong)"
check_said 'is not the file that the recipe means'
check "no token is shown" sh -c '! grep -q secret said'

# A server that is away.
kill $server
wait $server 2>/dev/null || :
recipe plain
(sleep 4 && exec python3 server.py "$port") &
server=$!
check "one that is away is waited for" sh -c 'timeout 60 "$SBUILD" build plain.yaml --no-cache >said 2>&1'
check "which is said" has said "127.0.0.1:$port: .*; waiting for it for 2 min .* more at most"
check "and that it is over" has said "127.0.0.1:$port: it answers again"
kill $server
wait $server 2>/dev/null || :
recipe plain
begin=$(date +%s)
status=0
timeout -s INT 3 "$SBUILD" build plain.yaml --no-cache >said 2>&1 || status=$?
check "Ctrl-C ends it" test $(($(date +%s) - begin)) -lt 6 -a "$status" != 0
begin=$(date +%s)
check_fails "SBUILD_PATIENCE" 5 env SBUILD_PATIENCE=2s "$SBUILD" build plain.yaml --no-cache
check_said 'after [0-9]+ attempts in'
check "is how long" test $(($(date +%s) - begin)) -lt 8
settings <<END
patience: 1s
END
begin=$(date +%s)
check_fails "patience of the settings" 5 "$SBUILD" build plain.yaml --no-cache
check "is how long" test $(($(date +%s) - begin)) -lt 8
check_fails "none" 5 env SBUILD_PATIENCE=0s "$SBUILD" build plain.yaml --no-cache
check_equal "nothing half is kept" "" "$(find "$SBUILD_STORE/sbuild/caches/downloads" "$SBUILD_STORE/sbuild/tmp" -type f 2>/dev/null)"
