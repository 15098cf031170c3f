#!/usr/bin/env python3
"""Asks a service every 10 ms, at the port that its upstream file names, until it gets SIGTERM. Then it
writes how many requests failed, and the answers (versions) in the order in which they came.

    follow-upstream.py FILE OUT &  … ; kill $!

OUT is made, empty, once it has tried for the first time."""
import re
import signal
import socket
import sys
import time

path, out = sys.argv[1], sys.argv[2]
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))


def ask():
    with open(path) as upstream:
        port = int(re.search(r":(\d+);", upstream.read()).group(1))
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = s.makefile().read().split("\n\n")[-1].strip()
    if not re.fullmatch(r"\d+\.\d+\.\d+", answer):
        raise OSError(f"port {port} answers {answer!r}")
    return answer


failed, seen = 0, []
while not ended:
    try:
        answer = ask()
        if answer not in seen[-1:]:
            seen.append(answer)
    except OSError as e:
        print("follow-upstream:", e, file=sys.stderr)
        failed += 1
    open(out, "a").close()
    time.sleep(0.01)
with open(out, "w") as file:
    print(failed, *seen, file=file)
