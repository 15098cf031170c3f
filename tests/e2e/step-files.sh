#!/bin/sh
# /etc/hosts and /etc/resolv.conf while steps run: there, to be written, replaced and removed; and what of that is in the layer.
. tests/e2e/lib.sh
need_root
need runc
busybox_base
mkdir -p ship/etc um/usr/bin linked/etc bare/bin
printf '192.0.2.7 shipped\n' >ship/etc/hosts
chmod 640 ship/etc/hosts
printf 'nameserver 192.0.2.53\n' >ship/etc/resolv.conf
ln -s ../run/systemd/resolve/stub-resolv.conf linked/etc/resolv.conf
ln -s /proc/net/pnp linked/etc/hosts
cp rootfs/bin/busybox bare/bin/sh
cat >bases.yaml <<'END'
name: shipping
from: base.yaml
layers: [{name: ship, copy: {from: ship, to: /, mode: {files: "0640", directories: "0755"}}}]
END
cat >linked.yaml <<'END'
name: linked
from: base.yaml
layers: [{name: links, copy: {from: linked, to: /}}]
END
printf 'name: bare\nfrom: scratch\nlayers: [{name: sh, copy: {from: bare, to: /}}]\n' >bare.yaml
sed -n p bases.yaml >shipping.yaml

# What a layer with one step holds: its entries, with modes and contents of files.
layer() { # BASE NETWORK [USER] < SCRIPT
	{
		printf 'name: t\nfrom: %s\nlayers:\n  - name: l\n    network: %s\n    run:\n      script: |\n' "$1" "$2"
		sed 's/^/        /'
	} >t.yaml
	"$SBUILD" build t.yaml --no-cache >out 2>&1 || {
		cat out
		return
	}
	blob=$("$SBUILD" inspect t:latest --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["layers"][-1]["digest"][7:])')
	python3 - "$SBUILD_STORE/blobs/sha256/$blob" <<-'EOP'
		import subprocess, sys, tarfile, io
		data = open(sys.argv[1], "rb").read()
		if data[:4] == b"\x28\xb5\x2f\xfd":
		    data = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout
		with tarfile.open(fileobj=io.BytesIO(data)) as tar:
		    for m in tar:
		        text = tar.extractfile(m).read().decode() if m.isreg() and m.size < 4096 else ""
		        print(m.name, oct(m.mode)[2:], "-> " + m.linkname if m.issym() else "", repr(text) if text else "", end=";")
	EOP
}
try() { # NAME EXPECTED BASE NETWORK < SCRIPT
	check_equal "$1" "$2" "$(layer "$3" "$4" | sed 's/  */ /g; s/ ;/;/g')"
}

need zstd python3
for base in base.yaml shipping.yaml linked.yaml bare.yaml; do
	for network in none host; do
		try "$base, $network: nothing done, nothing there" "" $base $network <<-'END'
			:
		END
	done
done
try "the files are there" "" base.yaml host <<-'END'
	grep -q '^127.0.0.1 localhost$' /etc/hosts && grep -q '^# of the machine' /etc/resolv.conf
	! [ -L /etc/hosts ] && ! grep -q /etc/ /proc/self/mountinfo
END
try "the image's hosts are seen, with ours" "" shipping.yaml none <<-'END'
	grep -q 127.0.0.1 /etc/hosts && grep -q shipped /etc/hosts && grep -q 192.0.2.53 /etc/resolv.conf
END
try "an image's resolv.conf is not asked with the network" "" shipping.yaml host <<-'END'
	! grep -q 192.0.2.53 /etc/resolv.conf
END
try "a link is followed" "" linked.yaml host <<-'END'
	[ -L /etc/resolv.conf ] && grep -q '^# of the machine' /run/systemd/resolve/stub-resolv.conf && grep -q localhost /etc/hosts
END
try "hosts that are added to" "etc 755;etc/hosts 644 '10.0.0.5 db\n';" base.yaml none <<-'END'
	echo 10.0.0.5 db >>/etc/hosts
END
try "behind those of the image" "etc 755;etc/hosts 640 '192.0.2.7 shipped\n10.0.0.5 db\n';" shipping.yaml none <<-'END'
	echo 10.0.0.5 db >>/etc/hosts
END
try "hosts that are written anew" "etc 755;etc/hosts 644 '10.0.0.5 db\n';" base.yaml host <<-'END'
	echo 10.0.0.5 db >/etc/hosts
END
try "by a rename" "etc 755;etc/hosts 600 '10.0.0.5 db\n';" base.yaml none <<-'END'
	umask 077
	echo 10.0.0.5 db >/etc/hosts.new
	mv /etc/hosts.new /etc/hosts
END
try "by sed, which leaves our lines" "etc 755;etc/hosts 644 '127.0.0.1 here\n::1 here\n127.0.1.1 sbuild\n';" base.yaml none <<-'END'
	sed -i s/localhost/here/ /etc/hosts
END
try "hosts that are removed" "" base.yaml none <<-'END'
	rm /etc/hosts
END
try "hosts of the image that are removed" "etc 755;etc/.wh.hosts 600;" shipping.yaml none <<-'END'
	rm /etc/hosts
END
try "hosts that become a link" "etc 755;etc/hosts 777 -> elsewhere;" base.yaml none <<-'END'
	ln -sf elsewhere /etc/hosts
END
try "hosts that become a directory" "etc 755;etc/hosts 755;" base.yaml none <<-'END'
	rm /etc/hosts && mkdir /etc/hosts
END
try "a resolv.conf without the network is a file as any" "etc 755;etc/resolv.conf 644 'nameserver 192.0.2.1\n';" base.yaml none <<-'END'
	echo nameserver 192.0.2.1 >/etc/resolv.conf
END
try "with it, it is not the image's" "" base.yaml host <<-'END'
	echo nameserver 192.0.2.1 >>/etc/resolv.conf
END
check "which is said" has out 'warning: layer l: t.yaml:4: what the step wrote to /etc/resolv.conf is not in the image'
try "but a link in its place is" "etc 755;etc/resolv.conf 777 -> ../run/resolvconf/resolv.conf;" base.yaml host <<-'END'
	mkdir -p /etc/resolvconf
	cp -a /etc/resolv.conf /etc/resolvconf/original
	mv /etc/resolv.conf /etc/resolv.conf.bak
	ln -s ../run/resolvconf/resolv.conf /etc/resolv.conf
	rmdir /etc/resolvconf 2>/dev/null || rm -r /etc/resolvconf
END
try "and that it was removed" "etc 755;etc/.wh.resolv.conf 600;" shipping.yaml host <<-'END'
	rm /etc/resolv.conf
END
try "copies of it stay out" "etc 755;etc/resolvconf 755;run 755;run/r 755;" base.yaml host <<-'END'
	mkdir -p /etc/resolvconf /run/r
	cp -a /etc/resolv.conf /etc/resolvconf/original
	cat /etc/resolv.conf >/run/r/x
END
try "other files beside are as ever" "etc 755;etc/hostname 644 'x\n';etc/mtab 777 -> /proc/mounts;" base.yaml host <<-'END'
	echo x >/etc/hostname
	ln -s /proc/mounts /etc/mtab
END
try "/etc with another mode" "etc 700;" base.yaml host <<-'END'
	chmod 700 /etc
END
try "copies elsewhere stay out, too" "var 755;var/spool 755;var/spool/etc 755;" base.yaml host <<-'END'
	mkdir -p /var/spool/etc
	cp /etc/resolv.conf /var/spool/etc/resolv.conf
END
try "/etc that is removed" ".wh.etc 600;" base.yaml host <<-'END'
	rm -rf /etc
END
try "/etc that is replaced" "etc 755;etc/.wh..wh..opq 600;etc/x 644 'a\n';" base.yaml host <<-'END'
	rm -rf /etc
	mkdir /etc
	echo a >/etc/x
END
try "a step that makes /etc itself" "etc 755;etc/x 644 'a\n';" bare.yaml none <<-'END'
	echo a >/etc/x
END

# Several steps of one layer, with and without the network, and what copies bring.
cat >several.yaml <<'END'
name: several
from: base.yaml
layers:
  - name: l
    steps:
      - {run: "echo 10.0.0.1 a >>/etc/hosts; echo nameserver 192.0.2.1 >/etc/resolv.conf"}
      - {run: "grep -q 10.0.0.1 /etc/hosts && ! grep -q 192.0.2.1 /etc/resolv.conf; echo 10.0.0.2 b >>/etc/hosts", network: host}
      - {run: "grep -qx 'nameserver 192.0.2.1' /etc/resolv.conf && [ $(wc -l </etc/resolv.conf) = 1 ]"}
      - {run: "grep -q 10.0.0.2 /etc/hosts; mkdir /etc/d"}
END
check "steps see what those before wrote" "$SBUILD" build several.yaml
"$SBUILD" export several:latest --format rootfs -o all.tar
check_equal "and so does the image" "10.0.0.1 a 10.0.0.2 b" "$(tar -xOf all.tar etc/hosts | tr '\n' ' ' | sed 's/ $//')"
check_equal "its resolv.conf too" "nameserver 192.0.2.1" "$(tar -xOf all.tar etc/resolv.conf)"

# As a user it is the same.
test_user
for mode in as_root as_user; do
	mkdir -p home/p
	cp -r rootfs base.yaml several.yaml home/p
	chown -R "$user" home/p
done
check "as a user, too" as_user -C "$T/home/p" "$SBUILD" build several.yaml --store "$T/home/store"
as_user -C "$T/home/p" "$SBUILD" inspect several:latest --json --store "$T/home/store" >users.json
"$SBUILD" inspect several:latest --json >roots.json
digests() { python3 -c 'import json, sys; print([l["digest"] for l in json.load(open(sys.argv[1]))["layers"]])' "$1"; }
check_equal "and it gets the same layers" "$(digests roots.json)" "$(digests users.json)"
