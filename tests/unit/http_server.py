#!/usr/bin/env python3
"""Servers for tests/unit/http_servers.h: ones that behave, and ones that don't.

    http_server.py DIR      makes keys and certificates in DIR, starts the servers on free ports, and
                            prints one line of JSON: their ports. Runs until its stdin is closed.
"""
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

DIR = sys.argv[1]


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, cwd=DIR, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates():
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.crt")
    for name, names, days in [
        ("good", "IP:127.0.0.1,DNS:localhost,DNS:registry.test", "2"),
        ("wrong", "DNS:other.example.com", "2"),
        ("expired", "IP:127.0.0.1,DNS:localhost", "-1"),
        ("client", "DNS:client", "2"),
    ]:
        openssl("req", *key, "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".csr")
        with open(os.path.join(DIR, name + ".ext"), "w") as f:
            f.write("subjectAltName=" + names + "\n")
        sign = ["x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-extfile", name + ".ext", "-out", name + ".crt"]
        openssl(*sign, "-days", days)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # whole answers in one piece

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        left, total = int(self.headers.get("Content-Length") or 0), 0
        while total < left:
            got = self.rfile.read(min(left - total, 1 << 20))
            if not got:
                break
            total += len(got)
        return total

    def endless(self, first, piece):
        self.close_connection = True
        try:
            self.wfile.write(first)
            while True:
                self.wfile.write(piece)
        except OSError:
            pass

    def handle_any(self):
        url = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        what = url.path.strip("/").replace("-", "_")
        length = self.body() if what != "early" else 0
        getattr(self, "do_" + what, self.not_found)(query, length)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def do_CONNECT(self):
        """As a proxy: every name is this machine; "refused" is one it does not connect to."""
        name, port = self.path.rsplit(":", 1)
        if name.startswith("refused"):
            self.answer(403, b"not there")
            return
        there = socket.create_connection(("127.0.0.1", int(port)))
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.wfile.flush()
        self.close_connection = True
        back = threading.Thread(target=self.pump, args=(there, self.connection), daemon=True)
        back.start()
        self.pump(self.connection, there)
        back.join()

    @staticmethod
    def pump(source, to):
        try:
            while piece := source.recv(65536):
                to.sendall(piece)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def not_found(self, query, length):
        self.answer(404, b'{"errors":[]}', X_Path=self.path)

    def do_echo(self, query, length):
        lines = ["%s %s" % (self.command, self.path), "length=%d" % length]
        lines += ["%s: %s" % (k.lower(), v) for k, v in self.headers.items()]
        self.answer(200, "\n".join(lines).encode() + b"\n", X_Odd="  blanks around\t ", X_Empty="")

    def do_big(self, query, length):
        size = int(query["n"])
        self.send_response(int(query.get("status", "200")))
        self.send_header("Content-Length", str(size))
        self.end_headers()
        piece = bytes(range(256)) * 4096
        try:
            while size and self.command != "HEAD":
                size -= self.wfile.write(piece[:size]) or min(size, len(piece))
        except OSError:
            self.close_connection = True

    def do_redirect(self, query, length):
        self.answer(int(query.get("status", "307")), b"moved", Location=query["to"])

    def do_loop(self, query, length):
        self.answer(302, b"", Location="/loop?n=%d" % (int(query.get("n", "0")) + 1))

    def do_auth(self, query, length):
        self.answer(401, b"who are you?", WWW_Authenticate='Strange realm="x"')

    def do_early(self, query, length):
        self.close_connection = True
        self.answer(413, b"too large")
        self.wfile.flush()
        time.sleep(0.3)

    def do_short(self, query, length):
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50)

    def do_close(self, query, length):
        self.close_connection = True

    def do_garbage(self, query, length):
        self.close_connection = True
        self.wfile.write(b"\0\1\2\3 what is this\r\n\r\n")

    def do_continue(self, query, length):
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n")
        self.answer(200, b"after 103", X_Late="1")

    def do_trailers(self, query, length):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                         b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n")

    def do_endless_headers(self, query, length):
        self.endless(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"y" * 1000 + b"\r\n")

    def do_endless_line(self, query, length):
        self.endless(b"HTTP/1.1 200 OK\r\nX-More: ", b"y" * 1000)

    def do_many_headers(self, query, length):
        self.answer(200, b"", **{"X_%d" % i: "y" for i in range(300)})

    def do_endless(self, query, length):
        self.endless(b"HTTP/1.1 %s OK\r\nConnection: close\r\n\r\n" % query.get("status", "200").encode(), b"z" * 65536)

    def do_stall(self, query, length):
        if "after" in query:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * int(query["after"]))
            self.wfile.flush()
        time.sleep(float(query.get("seconds", "20")))
        self.close_connection = True

    def do_trickle(self, query, length):
        count = int(query.get("count", "6"))
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(int(query.get("headers", "0"))):
            self.wfile.write(b"X-Slow: x\r\n")
            self.wfile.flush()
            time.sleep(0.5)
        self.wfile.write(b"Content-Length: %d\r\n\r\n" % count)
        for _ in range(count):
            self.wfile.write(b"t")
            self.wfile.flush()
            time.sleep(0.5)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100
    context = None

    def finish_request(self, request, address):
        try:
            if self.context:
                request = self.context.wrap_socket(request, server_side=True)
            super().finish_request(request, address)
            if self.context:
                request.unwrap()
        except OSError:
            pass

    def handle_error(self, request, address):
        pass


def start(certificate=None, ask_client=False, address="127.0.0.1", version=ssl.TLSVersion.TLSv1_3):
    server = Server((address, 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(DIR, certificate + ".crt"), os.path.join(DIR, certificate + ".key"))
        context.maximum_version = version
        if ask_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(os.path.join(DIR, "ca.crt"))
        server.context = context
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def silent():
    """Accepts by the kernel alone, and never says a word."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(5)
    return s


make_certificates()
quiet = silent()
print(json.dumps({
    "plain": start(),
    "other": start(),
    "everywhere": start(address="0.0.0.0"),
    "good": start("good"),
    "wrong": start("wrong"),
    "expired": start("expired"),
    "mutual": start("good", ask_client=True, version=ssl.TLSVersion.TLSv1_2),
    "mutual13": start("good", ask_client=True),
    "silent": quiet.getsockname()[1],
}), flush=True)
sys.stdin.read()
