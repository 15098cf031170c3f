#!/bin/sh
# What the machine and whoever calls have must not get into an image: one recipe, whose steps write down all that they see of their
# surroundings, built in many of them. One digest, wherever. (docs/operations.md, "What does not get into an image", has the table.)
. tests/e2e/lib.sh
need_root
need runc setpriv python3 unshare setarch prlimit taskset nice ionice
busybox_base

# ---- what is built

mkdir -p context/sub/dir context/bin
printf 'data\n' >context/sub/file
printf '#!/bin/sh\n' >context/bin/tool
chmod 755 context/bin/tool
ln -s sub/file context/link
cat >context/report.sh <<'END'
set -eu
umask
env | grep -v -e ^PWD= -e ^SHLVL= -e ^OLDPWD= -e ^_= | sort
for limit in -c -d -e -f -l -m -r -s -t -v; do echo "limit $limit $(ulimit -S $limit 2>/dev/null || :) $(ulimit -H $limit 2>/dev/null || :)"; done
echo "files $(ulimit -Sn)"
id
uname -n -m -s
pwd
grep -e ^Sig[BIC] -e ^Cap -e ^Groups -e ^Umask -e ^Uid -e ^Gid /proc/self/status
cat /proc/self/personality 2>/dev/null || :
for fd in 0 1 2 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$fd ] || echo "descriptor $fd"; done
[ ! -t 0 ] && [ ! -t 1 ] && ! (: >/dev/tty) 2>/dev/null && echo "no terminal"
cut -d' ' -f6,7 /proc/$$/stat
date -d @0
ls -la /tmp | sed -e /^total/d -e 's/[0-9]*:[0-9]*//' | awk '{ print $1, $3, $4, $NF }'
kill -l >/dev/null
END
cat >context/make.sh <<'END'
set -eu
mkdir -p "$1/a/b" "$1/c"
echo x >"$1/a/b/x"
ln "$1/a/b/x" "$1/c/y"
ln -s x "$1/a/l"
mkfifo "$1/p"
touch "$1/c/z"
cp -a "$1/a" "$1/d"
tar -cf "$1/t.tar" -C "$1" d
mkdir "$1/u" && tar -xf "$1/t.tar" -C "$1/u"
rm "$1/t.tar"
END
cat >context/recipe.yaml <<'END'
name: all
from: base.yaml
layers:
  - {name: copied, copy: {from: [sub, bin, link, report.sh, make.sh], to: /c/}}
  - name: root
    steps:
      - run: sh /c/report.sh >/report && sh /c/make.sh /made
      - run: |
          sh /c/make.sh /kept/m 2>/dev/null || :
          cp -a /kept/m /from-cache
        cache: [/kept]
  - name: worker
    steps:
      - run: mkdir -p /home/w && chown worker /home/w && chmod 2775 /home/w
      - run: {script: "sh /c/report.sh >/home/w/report; sh /c/make.sh /home/w/made", user: worker}
  - name: network
    network: host
    run: sh /c/report.sh | grep -v -i -e _proxy >/report-network; cat /etc/hosts >/hosts-seen
  - {name: pruned, steps: [{run: "mkdir -p /usr/share/doc/x && echo >/usr/share/doc/x/a"}, {prune: [docs]}]}
  - {name: last, copy: {from: sub, to: /again/deep/er, owner: "7:8"}}
image: {env: {E: "1"}, workdir: /c}
END
cp -r rootfs base.yaml context/
rm -f context/base.yaml
printf 'name: base\nfrom: scratch\nlayers: [{name: busybox, copy: {from: rootfs, to: /}}]\n' >context/base.yaml
chmod -R u=rwX,go=rX context

n=0
result() { # NAME: the digest that the command before left, against the first
	[ -s digest ] || {
		echo "FAIL $NAME: $1: $(tail -n 12 err)"
		failed=$((failed + 1))
		return 0
	}
	[ -e wanted ] || cp digest wanted
	check_equal "$1" "$(cat wanted)" "$(cat digest)"
	cmp -s wanted digest || "$SBUILD" diff "$reference" "oci:$2:all:latest" 2>&1 | head -n 20 || :
}
# in NAME COMMAND… : builds in a new store below $place, started by that command.
place=$T/stores
mkdir stores
around() {
	around_name=$1
	shift
	n=$((n + 1))
	store=$place/s$n
	rm -f digest
	(cd context && exec "$@" "$SBUILD" build recipe.yaml --store "$store") >digest 2>err </dev/null || rm -f digest
	result "$around_name" "$store"
	reference=${reference:-oci:$store:all:latest}
	[ "$store" = "$place/s1" ] || [ "$place" != "$T/stores" ] || rm -rf "$store"
}

around "plainly" env -i "PATH=$PATH" HOME=/root
plain=$store
"$SBUILD" export all:latest --store "$plain" --format rootfs -o all.tar 2>/dev/null
tar -xOf all.tar report >report
check "the report is one" grep -q '^no terminal$' report
check_equal "extended attributes in it" "" "$(tar -tvf all.tar | grep '+' || :)"

# ---- the process

around "umask 000" sh -c 'umask 000; exec "$@"' sh
around "locale, time zone, proxies, variables" env http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 no_proxy=x LANG=de_DE.UTF-8 LC_ALL=tr_TR.UTF-8 LANGUAGE=de TZ=Asia/Kathmandu TMPDIR=/var/tmp IFS=x ENV=/nowhere BASH_ENV=/nowhere \
	PYTHONPATH=/x PERL5LIB=/x TAR_OPTIONS=--totals POSIXLY_CORRECT=1 USER=me LOGNAME=me MAIL=x EDITOR=x TERM=dumb CC=false MAKEFLAGS=-k DEBIAN_FRONTEND=gtk \
	GIT_DIR=/x XDG_RUNTIME_DIR=/x XDG_CACHE_HOME=/x XDG_DATA_HOME=/x SSH_AUTH_SOCK=/x DISPLAY=:0 NOTIFY_SOCKET=/x LISTEN_FDS=1 LS_COLORS=x GZIP=-9 ZSTD_CLEVEL=19 MALLOC_PERTURB_=7
# (Soft limits alone: a hard one that was lowered nobody can raise again but root with CAP_SYS_RESOURCE.)
around "limits, a process of little account, another host and clock" prlimit --stack=1048576: --nofile=512: --memlock=65536: --data=800000000: --fsize=400000000: \
	nice -n 15 ionice -c 3 taskset -c 0 chrt --batch 0 setpriv --groups 4,27,100,65534 --no-new-privs setsid -w \
	unshare --time --boottime 100000000 --monotonic 100000000 --fork unshare --uts sh -c 'hostname evil.example.com; exec "$@"' sh
around "signals ignored and blocked, descriptors" sh -c "trap '' HUP INT QUIT PIPE TERM USR1 USR2 CHLD ALRM; exec 3</etc/passwd 4>/dev/null 5</ 6<&3 9>/dev/null; exec \"\$@\"" sh \
	python3 -c 'import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.set_inheritable(3, True)
os.execvp(sys.argv[1], sys.argv[1:])'
around "no input, no standard error, no limits" prlimit --stack=unlimited: --core=unlimited: sh -c 'exec "$@" <&- 2>&-' sh
if setpriv --bounding-set -all true 2>/dev/null && prlimit --rtprio=5 true 2>/dev/null; then
	around "hard limits" prlimit --stack=1048576:4194304 --nofile=512:700 --memlock=65536:65536 --rtprio=5 --nice=30 --msgqueue=1
else
	skip "hard limits: nobody here can raise them again"
fi
around "a machine of 32 bits, addresses without chance" setarch i686 -R
if command -v script >/dev/null; then
	n=$((n + 1))
	store=$place/s$n
	rm -f digest
	(cd context && script -qec "'$SBUILD' build recipe.yaml --store '$store' --progress plain >'$T/digest' 2>'$T/err'" /dev/null >/dev/null) || rm -f digest
	result "a terminal" "$store"
	rm -rf "$store"
fi
if command -v keyctl >/dev/null; then
	around "keys" keyctl session -
fi
around "one job, files of the host, a store in which nothing may be executed" unshare --mount --propagation private sh -c 'mount -t tmpfs -o noexec none ../stores; printf "192.0.2.9 evil\n" >../hosts; printf "nameserver 192.0.2.9\nsearch evil\n" >../resolv
	[ ! -e /etc/hosts ] || mount --bind ../hosts /etc/hosts; [ ! -e /etc/resolv.conf ] || mount --bind ../resolv /etc/resolv.conf; exec "$@" -j1' sh
if command -v crun >/dev/null; then
	around "crun, many jobs" sh -c 'exec "$@" -j9 --runtime crun' sh
fi
around "runc" sh -c 'exec "$@" --runtime runc' sh

# ---- where it lies

acl() { # FILE…: a default ACL of directories, and one of files
	python3 - "$@" <<-'END'
		import os, struct, sys
		def entry(tag, perm, who=0xffffffff):
		    return struct.pack("<HHI", tag, perm, who)
		for path in sys.argv[1:]:
		    x = os.stat(path).st_mode & 1
		    acl = struct.pack("<I", 2) + entry(1, 6 + x) + entry(2, 6 + x, 12345) + entry(4, 4 + x) + entry(16, 6 + x) + entry(32, 4 + x)
		    os.setxattr(path, "system.posix_acl_access", acl)
		    if os.path.isdir(path):
		        os.setxattr(path, "system.posix_acl_default", acl)
	END
}
mkdir acls
if acl acls 2>/dev/null; then
	place=$T/acls
	around "a default ACL above the store"
	"$SBUILD" export all:latest --store "$store" --format rootfs -o acl.tar 2>/dev/null
	check "nothing of it is in the trees" python3 - "$store/sbuild" <<-'END'
		import os, sys
		for top, dirs, files in os.walk(sys.argv[1] + "/trees"):
		    for name in dirs + files:
		        path = os.path.join(top, name)
		        if not os.path.islink(path):
		            assert not [x for x in os.listxattr(path) if "acl" in x], path
	END
	mkdir -p acls/early/sbuild/tmp acls/early/sbuild/caches acls/early/sbuild/trees
	n=$((n + 1))
	cp -r context acls/context
	find acls/context | while read -r f; do [ -L "$f" ] || acl "$f"; done
	(cd acls/context && "$SBUILD" build recipe.yaml --store "$T/stores/s$n" >"$T/digest" 2>"$T/err") || rm -f digest
	result "ACLs in the context" "$T/stores/s$n"
	place=$T/stores
else
	skip "no ACLs on this file system"
fi
mkdir setgid
chgrp 12345 setgid
chmod 2777 setgid
place=$T/setgid
around "a setgid directory above the store"
mkdir "o d d"
mount -t tmpfs -o nosuid,nodev,noexec,noatime,mode=1777,size=400m tmpfs "o d d"
place="$T/o d d"
around "a store that is mounted nosuid,nodev,noexec,noatime, at a path with blanks"
umount "o d d"
place=$T/stores
cp -r context elsewhere
find elsewhere -exec touch -h -d 2001-02-03 {} +
chown -R 7:9 elsewhere
chmod -R go-rwx elsewhere
find elsewhere -type f ! -name '*.yaml' -exec setfattr -n user.x -v y {} + 2>/dev/null || :
n=$((n + 1))
ln -s elsewhere via
(cd / && "$SBUILD" build "$T/via/recipe.yaml" --store "$T/stores/s$n" >"$T/digest" 2>"$T/err") || rm -f digest
result "other times, owners and modes of the context" "$T/stores/s$n"

# ---- as a user

test_user
cp -r context home/context
mkdir -p home/acls
acl home/acls 2>/dev/null || :
chown -R "$user" home/context home/acls
by_user() { # NAME COMMAND…
	by_name=$1
	shift
	n=$((n + 1))
	rm -f digest
	as_user -C "$T/home/context" "$@" "$SBUILD" build recipe.yaml --store "$T/home/acls/s$n" >digest 2>err </dev/null || rm -f digest
	result "as a user: $by_name" "$T/home/acls/s$n"
}
by_user "umask 077" sh -c 'umask 077; exec "$@"' sh
by_user "variables, limits, 32 bits" env LANG=de_DE.UTF-8 TZ=Asia/Kathmandu prlimit --stack=1048576: --fsize=400000000: setarch i686 -R
by_user "signals and descriptors" sh -c "trap '' HUP INT QUIT PIPE USR1; exec 3</etc/passwd 4>/dev/null; exec \"\$@\"" sh
