#!/bin/sh
# What a terminal shows while a build runs: narrow ones, and ones that shrink meanwhile.
. tests/e2e/lib.sh
need_root
need runc python3
busybox_base
cat >long.yaml <<'END'
name: long
from: base.yaml
layers:
  - {name: a-name-that-is-longer-than-forty-columns-are, run: "echo a line of output that is longer than forty columns are; sleep 2; echo x >/x"}
END
# A terminal of so many columns that breaks lines anew when it shrinks, as most do: what is on its screen
# at each moment, and at the end.
cat >terminal.py <<'END'
import fcntl, os, pty, re, select, signal, struct, subprocess, sys, termios, time
before, after, *command = sys.argv[1:]
width = int(before)
rows, at = [""], 0
frames = []
def put(text):
    global at
    for part in re.findall(r"\033\[[0-9;?]*[A-Za-z]|\n|\r|[^\033\n\r]+", text):
        if part == "\n":
            at += 1
            if at == len(rows):
                rows.append("")
        elif part == "\033[1A":
            at = max(at - 1, 0)
        elif part == "\033[2K":
            rows[at] = ""
        elif part[0] not in "\033\r":
            rows[at] += part
def shrink(to):
    global rows, at, width
    width = to
    broken = [row[i:i + to] for row in rows for i in range(0, max(len(row), 1), to)]
    at += len(broken) - len(rows)
    rows = broken
def resize(fd):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
main, side = pty.openpty()
resize(main)
process = subprocess.Popen(command, stderr=side, stdout=subprocess.DEVNULL, stdin=side, env=dict(os.environ, TERM="xterm-256color"))
os.close(side)
began, rest, shrunk = time.time(), b"", int(after) == width
def take():
    global rest
    try:
        data = os.read(main, 65536)
    except OSError:
        return False
    rest += data
    try:
        text, rest = rest.decode(), b""
    except UnicodeDecodeError:
        return bool(data)
    put(text)
    frames.append("\n".join(rows))
    return bool(data)
while take():
    if shrunk or time.time() - began < 1 or "●" not in frames[-1]:
        continue
    # Nothing is written while the window changes: what is half drawn would be another test.
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    while select.select([main], [], [], 0)[0] and take():
        pass
    if rows[at] == "":
        shrink(int(after))
        resize(main)
        shrunk = True
    process.send_signal(signal.SIGCONT)
open("frames", "w").write("\f".join(frames))
print("\n".join(row for row in rows if row))
sys.exit(process.wait())
END
build base.yaml >/dev/null 2>&1 || "$SBUILD" base.yaml >/dev/null 2>&1
on() { # COLUMNS THEN: what is on the screen at the end
	check "$1 columns, then $2" sh -c 'python3 terminal.py "$@" >screen 2>&1' sh "$1" "$2" "$SBUILD" long.yaml --no-cache --progress tty
}
on 40 40
check "the time is seen, however long the name" sh -c "tr '\\f' '\\n' <frames | grep -qE '● +[0-9.]+ s  long a-name'"
check "and that of all" sh -c "tr '\\f' '\\n' <frames | grep -qE '^ +[0-9.]+ s  in all'"
check_fails "at the end nothing of that is left" 1 grep -E '●|in all' screen
on 120 40
check_fails "nor when the window shrank" 1 grep -E '●|in all|forty columns are; sleep' screen
check "what is done stays" grep -q '✓ base' screen
