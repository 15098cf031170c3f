#!/bin/sh
# Limits of steps: processes, memory, time; as root and as a user. Each is named, with its setting, and
# nothing is left of the step or its control groups.
. tests/e2e/lib.sh
need_root
need runc setpriv
busybox_base
test_user

recipe() { # NAME SCRIPT
	printf 'name: %s\nfrom: base.yaml\nlayers:\n  - name: x\n    run: |\n      %s\n' "$1" "$2" >"$1.yaml"
}
recipe fine 'i=0; while [ $i -lt 40 ]; do sleep 0.1 & i=$((i + 1)); done; wait; head -c 50m /dev/zero | tail -c 49m | wc -c'
recipe forks 'i=0; while [ $i -lt 300 ]; do sleep 30 & i=$((i + 1)); done; wait'
recipe memory 'head -c 300m /dev/zero | tail -c 299m >/tmp/x; [ -s /tmp/x ]'
recipe slow 'trap "" TERM INT; sleep 60 & sleep 61'
settings <<END
limits: {tasks: 100, memory: 150M, time: 6s}
END
groups() { find /sys/fs/cgroup -type d -name 'sbuild-step-*' 2>/dev/null | sort; }
groups >before
processes() { pgrep -fx "sleep (30|60|61)" | sort; }
processes >sleeping

check "a step within them is built" "$SBUILD" fine.yaml
check_fails "a fork bomb ends" 4 timeout 60 "$SBUILD" forks.yaml
if grep -q 'the limit of 100 processes' said; then
	check_said 'limits: .tasks'
else
	check_said '.'
	skip "no control group for processes can be made here: $(tail -n 1 said)"
fi
check_fails "a step that takes too long ends" 4 timeout 60 "$SBUILD" slow.yaml
check_said 'the limit of 6.00 s was met'
check_said 'limits: .time'
if [ -w /sys/fs/cgroup/memory/cgroup.procs ] || grep -qw memory /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null; then
	check_fails "a step that takes too much memory ends" 4 "$SBUILD" memory.yaml
	check_said 'the limit of 150 MB of memory was met'
	check_said 'limits: .memory'
else
	skip "no control group for memory can be made here"
fi

cp -a ./*.yaml rootfs home/
chown -R "$user" home
by_user() { timeout 60 setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups --reset-env env -C "$T/home" XDG_CONFIG_HOME="$XDG_CONFIG_HOME" "$SBUILD" "$@"; }
check "a user's step within them is built" by_user fine.yaml
check_fails "a user's fork bomb ends" 4 by_user forks.yaml
check_said 'the limit of 100 processes was met'
check_fails "a user's step that takes too long ends" 4 by_user slow.yaml
check_said 'the limit of 6.00 s was met'

sleep 0.5
groups | comm -13 before - >left
for _ in $(seq 100); do # those of builds beside this one come and go
	[ -s left ] || break
	sleep 0.2
	groups | comm -12 left - >still && mv still left
done
check_equal "no control group is left" "" "$(cat left)"
processes | comm -13 sleeping - >left
check_equal "no process is left" "" "$(cat left)"
