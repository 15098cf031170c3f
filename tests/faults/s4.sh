#!/bin/sh
# A download whose server breaks off half-way once, and knows no ranges, is fetched anew.
. tests/faults/lib.sh
need python3
cat >server.py <<'END'
import http.server
data = bytes(range(256)) * 4000
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data if Handler.asked > 1 else data[:len(data) // 2])
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
open("data", "wb").write(data)
open("port", "w").write(str(server.server_port))
server.serve_forever()
END
python3 server.py &
for _ in $(seq 100); do [ -s port ] || sleep 0.1; done
sum=$(sha256sum data)
cat >d.yaml <<END
name: d
from: scratch
layers: [{name: d, download: {url: "http://127.0.0.1:$(cat port)/x", sha256: ${sum%% *}, to: /x}}]
END
unset SBUILD_PATIENCE
check "it is fetched anew" build d
