#!/bin/sh
# What a service inherits: the same whoever installs it, and however; not the host's locale. (docs/operations.md, "What stays out of
# an image".)
. tests/e2e/node-service.lib
root=$(node_root one)
mkdir -p "$T/node-one/upper/etc"
echo LANG=de_DE.UTF-8 >"$T/node-one/upper/etc/locale.conf"
boot_node one
mkdir report
cat >report/run <<'END'
#!/bin/sh
{
	umask
	env | grep -v -e ^INVOCATION_ID= -e ^JOURNAL_STREAM= -e ^SYSTEMD_EXEC_PID= -e ^PWD= -e ^SHLVL= -e ^MEMORY_ | grep -v '^L[AC][A-Z_]*=$' | sed 's/report[12]/report/g' | sort
	for limit in -c -d -e -f -l -m -n -r -s -t -v; do echo "limit $limit $(ulimit -S $limit) $(ulimit -H $limit)"; done
	# Of ignored signals those that anybody can reset: two are the C library's own.
	printf 'SigIgn: %x\n' $((0x$(sed -n 's/^SigIgn:.//p' /proc/self/status) & 0x7fffffff))
	grep -e ^Sig[BC] -e ^Umask -e ^NoNewPrivs -e ^Seccomp: -e ^Cap /proc/self/status
	cat /proc/self/personality /proc/self/oom_score_adj 2>/dev/null
	for fd in 0 1 2 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$fd ] || echo "descriptor $fd"; done
	cut -d' ' -f18,19 /proc/self/stat
	pwd
	ls -la /app | awk '{ print $1, $NF }' | sed 's/report[12]/report/'
} 2>&1
echo the end
END
chmod +x report/run
for name in report1 report2; do
	cat >$name.yaml <<-END
		name: $name
		from: base.yaml
		version: 1.0.0
		tags: [semver]
		layers: [{name: app, copy: {from: report, to: /app}}]
		image: {repository: $REPOSITORY/$name, user: "1234:1234", workdir: /app, entrypoint: [/app/run]}
		service: {type: job}
	END
	"$SBUILD" bundle $name.yaml --push >/dev/null 2>err || cat err
done
said_by() { # NAME
	wait_for 20 n sh -c "journalctl -q -u $1 -o cat | grep -q '^the end$'" || :
	n journalctl -q -u "$1" -o cat | grep -v -e '[Ss]tart' -e '[Ff]inished' -e Deactivated -e Consumed | sed 's/report[12]/report/g'
}
check "one is installed plainly" n sbuild install "$REPOSITORY/report1:v1.0.0"
check "another by somebody with a lot around him" n sh -c 'umask 077; trap "" HUP INT PIPE USR1; ulimit -S -s 1024; ulimit -S -n 256; ulimit -c unlimited 2>/dev/null
	exec 3</etc/passwd 4>/dev/null
	LANG=tr_TR.UTF-8 TZ=Asia/Kathmandu http_proxy=http://127.0.0.1:1 no_proxy="*" FOO=bar TMPDIR=/var/tmp nice -n 10 sbuild install "$1" </dev/null' sh "$REPOSITORY/report2:v1.0.0"
said_by report1 >one
said_by report2 >two
check "they say something" grep -q '^the end$' one
check_equal "and the same" "" "$(diff one two)"
check_equal "no locale of the host" "" "$(grep -e ^LANG -e ^LC_ one)"
check_equal "its umask is systemd's" 0022 "$(head -n 1 one)"
