# What make left in a cache directory, or in a layer below, is made anew when its source changed.
. tests/faults/lib.sh
need_root
need make ldd
busybox_root rootfs
for file in $(ldd "$(command -v make)" | grep -o '/[^ ]*') "$(command -v make)"; do
	mkdir -p "rootfs$(dirname "$file")"
	cp -L "$file" "rootfs$file"
done
mkdir src
printf 'out: main.c\n\tcp $< out\n' >src/Makefile
cat >one.yaml <<'EOF'
name: one
from: scratch
layers:
  - {name: root, copy: {from: rootfs, to: /}}
  - name: app
    steps:
      - copy: {from: src, to: /src}
      - run: make -C /obj -f /src/Makefile VPATH=/src out && cp /obj/out /out
        cache: [/obj]
EOF
content() { # IMAGE PATH
	"$SBUILD" export "$1" --format rootfs -o - | tar -xOf - "$2"
}
for text in first second first; do
	echo "$text" >src/main.c
	check "it is built" build one
	check_equal "from what the source says" "$text" "$(content one out)"
done
mkdir dummy
cp src/Makefile dummy/
echo dummy >dummy/main.c
cat >two.yaml <<'EOF'
name: two
from: scratch
layers:
  - {name: root, copy: {from: rootfs, to: /}}
  - {name: dummy, copy: {from: dummy, to: /src}}
  - {name: ahead, run: make -C /src out}
  - {name: src, copy: {from: src, to: /src}}
  - {name: app, run: make -C /src out}
EOF
check "two layers are built" build two
check_equal "the real source after the dummy" first "$(content two src/out)"
