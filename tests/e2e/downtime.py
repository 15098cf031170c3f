#!/usr/bin/env python3
"""Asks http://127.0.0.1:PORT/PATH every 10 ms until it gets SIGTERM, then prints the longest time in
milliseconds that went without a good answer, and the answers in the order they first came.

    downtime.py PORT OUT [PATH] &  … ; kill $!

OUT is made, empty, once it asks."""
import signal
import socket
import sys
import time

port, out = int(sys.argv[1]), sys.argv[2]
path = sys.argv[3] if len(sys.argv) > 3 else "/"
ended = False


def end(*_):
    global ended
    ended = True


signal.signal(signal.SIGTERM, end)
open(out, "w").close()


def ask():
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while part := s.recv(4096):
                answer += part
    except OSError:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode().strip() if b" 200 " in head.split(b"\r\n")[0] else None


last, longest, seen = None, 0, []
answer, deadline = None, 0
# A gap is as long as till the next answer: it is waited for.
while not ended or (last is not None and answer is None and time.monotonic() < deadline):
    if not ended:
        deadline = time.monotonic() + 30
    began = time.monotonic()
    answer = ask()
    now = time.monotonic()
    if answer is not None:
        if last is not None:
            longest = max(longest, now - last)
        last = now
        if not seen or seen[-1] != answer:
            seen.append(answer)
    time.sleep(max(0, 0.01 - (now - began)))
with open(out, "w") as f:
    print(round(longest * 1000), *seen, file=f)
