#!/bin/sh
# The same instructions, built by buildah, by docker and by sbuild on the same base, give the same
# files: contents, modes, owners, extended attributes, links. What differs is only what makes a
# build reproducible: times after the epoch.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
need_root
need jq python3 setcap setfattr
need_peer buildah umoci skopeo

# ---- the base and the context ----

busybox_root rootfs
bring setcap rootfs
bring setfattr rootfs
# Mount points and files that every builder brings are there already.
mkdir -p rootfs/proc rootfs/sys rootfs/dev rootfs/run rootfs/usr/share/real rootfs/steps
touch rootfs/etc/hosts rootfs/etc/resolv.conf rootfs/etc/hostname
ln -s usr/share/real rootfs/via
mkdir -p rootfs/low/dir rootfs/low/opaque/sub rootfs/low/gone
for file in a b c dir/d dir/e opaque/f opaque/sub/g gone/h tofile; do echo "$file" >"rootfs/low/$file"; done
mkdir rootfs/low/todir
echo x >rootfs/low/todir/x
ln rootfs/low/a rootfs/low/dir/hard

cat >rootfs/steps/1 <<'END'
set -eu
mkdir -p /new/one /new/two
echo linked >/new/one/file
ln /new/one/file /new/two/file
ln /new/one/file /new/same
cp /bin/busybox /new/setuid; chown 12:34 /new/setuid; chmod 6755 /new/setuid
cp /bin/busybox /new/capable; setcap cap_net_raw,cap_net_bind_service+ep /new/capable
setfattr -n user.text -v 'some text' /new/one/file
setfattr -n user.binary -v 0x00ff0a3d00 /new/one
setfattr -n user.empty /new/two
setfattr -n user.UPPER.dots -v "$(head -c 300 /dev/zero | tr '\0' x)" /new/capable
mkfifo -m 620 /new/fifo
chown 65534:65533 /new/fifo
dd if=/dev/zero of=/new/sparse bs=1 count=1 seek=$(cat /steps/size) 2>/dev/null
dd if=/bin/busybox of=/new/holes bs=64k seek=500 count=8 conv=notrunc 2>/dev/null
truncate -s 3M /new/hole-only
: >/new/empty
mkdir -m 1777 /new/sticky; mkdir -m 2750 /new/setgid; mkdir -m 000 /new/closed
touch /new/unreadable; chmod 000 /new/unreadable
ln -s /absolute/nowhere /new/absolute; ln -s ../../../.. /new/above
ln -s "$(head -c 3000 /dev/zero | tr '\0' y)" /new/long-target
chown -h 77:78 /new/absolute
touch -d '1969-12-31 00:00:00' /new/before-1970
touch -d '1975-03-01 12:34:56' /new/old
touch -d '2030-01-01 00:00:00' /new/future
touch -d '2040-06-01 00:00:00' /new/after-2038
touch -d '1976-05-04 03:02:01' -h /new/above
touch -d '1977-05-04 03:02:01' /new/setgid
name=$(printf 'latin-\351-\377\001-\n-name'); echo raw >"/new/$name"; mkdir "/new/$name.d"; ln "/new/$name" "/new/$name.d/$name"
ln -s "$name" "/new/link-$name"
echo space >"/new/a b  c "; echo quote >"/new/'\"\\ \$x"; echo utf8 >/new/grüße-日本
name=$(head -c 200 /dev/zero | tr '\0' d)
for top in /new/deep /new/deeper; do
	mkdir $top; cd $top; i=0
	while [ $i -lt 16 ]; do mkdir "$name"; cd "$name"; i=$((i + 1)); done
	echo deep >bottom; ln bottom linked; ln -s bottom link
done
cd /
name=$(head -c 255 /dev/zero | tr '\0' n); echo n >"/new/$name"
chown 3000000:4000000000 /new/empty
END
cat >rootfs/steps/2 <<'END'
set -eu
# In the layer above: removal, replacement, and what changes but a part of a file.
rm /low/b
rm -rf /low/gone
rm -rf /low/opaque; mkdir /low/opaque; echo again >/low/opaque/f
rm /low/tofile; mkdir /low/tofile; echo y >/low/tofile/y
rm -rf /low/todir; echo file >/low/todir
chmod 600 /low/c
chown 5:6 /low/dir
mv /low/dir/e /low/moved
echo more >>/new/one/file
rm /new/same
mv /new/two /new/three
cp -p /new/setuid /new/setuid-copy # without -p a program in a user namespace loses the bits
rm /new/fifo; echo plain >/new/fifo
rm /new/old; mkfifo /new/old
rm -rf /new/sticky; ln -s setgid /new/sticky
setfattr -x user.binary /new/one
setfattr -n user.later -v later /new/empty
ln /low/a /new/across
rm -rf /new/deeper/*/*/*/*
: >/low/.wh-not
END
cat >rootfs/steps/3 <<'END'
set -eu
mkdir -p /low/gone /low/opaque/sub
echo back >/low/gone/back
rm -rf /low/tofile; echo file >/low/tofile
rm /low/todir; mkdir /low/todir; echo z >/low/todir/z
echo b >/low/b
rm -rf /new/three /app/dir/gone
ln /low/b /new/b
chmod 4711 /new/setuid
END
# 9 GB take a minute and more; the format changes at 8.
if [ "${SB_TEST_SLOW:-}" = 1 ]; then echo 9000M; else echo 200M; fi >rootfs/steps/size
mkdir -p src/dir/sub src/dir/gone src/empty
echo one >src/one
printf '#!/bin/sh\n' >src/tool
chmod 755 src/tool
echo sub >src/dir/sub/file
echo gone >src/dir/gone/file
ln -s dir/sub/file src/link
ln -s dir src/dirlink
ln -s /nowhere src/broken
echo 'name with spaces' >'src/a file'
echo secret >private
chmod -R u=rwX,go=rX src

cat >base.yaml <<'EOT'
name: base
from: scratch
compression: gzip
layers: [{name: rootfs, copy: {from: rootfs, to: /}}]
EOT
cat >trees.yaml <<'EOT'
name: trees
from: base.yaml
compression: gzip
layers:
  - {name: app, copy: {from: src, to: /app, owner: "1000:1001"}}
  - {name: via, copy: {from: [src/one, src/tool], to: /via/}}
  - {name: below, copy: {from: src/dir, to: /via/below}}
  - {name: private, copy: {from: private, to: /app/private, mode: "0600", owner: "7:8"}}
  - {name: one, run: sh /steps/1}
  - {name: two, run: sh /steps/2}
  - {name: copied, copy: {from: src/one, to: /low/opaque/}}
  - {name: three, run: sh /steps/3}
EOT
cat >Dockerfile <<'EOT'
ARG BASE
FROM $BASE
COPY --chown=1000:1001 src /app
COPY src/one src/tool /via/
COPY src/dir /via/below
COPY --chown=7:8 private /app/private
RUN sh /steps/1
RUN sh /steps/2
COPY src/one /low/opaque/
RUN sh /steps/3
EOT
chmod 600 private

# ---- building and unpacking ----

unpack() { # NAME: the image NAME of the layout oci, to trees/NAME
	peer umoci unpack --image "oci:$1" "bundle-$1" && mv "bundle-$1/rootfs" "trees/$1"
}
list() { # NAME
	python3 "$TOP/tests/e2e/tree.py" "trees/$1" >"$1.list"
}
same() { # NAME [SED]: as sbuild's, once SED has edited both
	[ -s "$1.list" ] && sed "${2:-}" sbuild.list >wanted && sed "${2:-}" "$1.list" | diff wanted -
}
mkdir trees

check "sbuild builds" "$SBUILD" base.yaml trees.yaml
check "skopeo copies it" peer skopeo copy --insecure-policy -q oci:store:trees:latest oci:oci:sbuild
check "umoci unpacks it" unpack sbuild
check "and lists it" list sbuild
check "the listing is that of a whole tree" test "$(wc -l <sbuild.list)" -gt 350
mkdir trees/exported
check "sbuild exports it" sh -c "'$SBUILD' export trees:latest --format rootfs | tar -C trees/exported --xattrs --xattrs-include='*' -xpf -"
check "tar unpacks it" list exported
check "the exported tree is the unpacked one" same exported

check "buildah reads the base" peer_buildah pull -q oci:store:base:latest
base=$(peer_buildah images -q --no-trunc | head -n 1)
printf 'ARG BASE\nFROM $BASE\nRUN true\n' >Dockerfile.true
if peer_build -f Dockerfile.true --build-arg "BASE=${base#sha256:}" . >build.log 2>&1; then
	check "buildah builds" peer_build --layers --build-arg "BASE=${base#sha256:}" -t trees .
	check "buildah writes it" peer_buildah push -q trees oci:oci:buildah
	check "umoci unpacks buildah's" unpack buildah
	check "and lists it" list buildah
	check "the tree is that of buildah" same buildah
else
	skip "buildah builds nothing here: $(tail -n 2 build.log)"
fi

# ---- docker ----

docker_builds() {
	"$SBUILD" export base:latest --format docker-archive | docker load &&
		tar -cf - Dockerfile src private |
		docker build --quiet --network none --build-arg BASE=base:latest --tag sbuild-trees - &&
		docker save sbuild-trees >docker.tar
}
if start_docker; then
	check "docker builds" docker_builds
	check "skopeo reads it" peer skopeo copy --insecure-policy -q docker-archive:docker.tar oci:oci:docker
	check "umoci unpacks docker's" unpack docker
	check "and lists it" list docker
	# Its overlay2 store keeps no extended attributes but those of security.
	check "the tree is that of docker" same docker "s/ user\.[A-Za-z.]*='[^']*'//g"
	docker image rm -f sbuild-trees base:latest >/dev/null 2>&1 || :
else
	skip "docker is not running"
fi
