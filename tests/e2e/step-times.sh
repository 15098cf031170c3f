# What programs that go by times (make and the like) make of changed files: in cache directories, over
# layers, and within one; and that it costs nothing where nothing changed, and shows in no image.
. tests/e2e/lib.sh
need_root
need make ldd jq
busybox_base
bring make rootfs

content() { # IMAGE PATH
	"$SBUILD" export "$1" --format rootfs -o - | tar -xOf - "$2"
}
built() { # NAME [OPTION…]: what the layer "app" wrote to /out
	name=$1
	shift
	"$SBUILD" build "$name.yaml" "$@" >log 2>&1 || {
		cat log >&2
		return 1
	}
	content "$name" out
}

# ---- a cache directory ----
# Two objects and a program made from them; `made` says which were made anew.
mkdir -p src include
cat >Makefile.user <<'EOF'
out: a.o b.o
	cat a.o b.o >out; echo out >>made
%.o: %.c
	cp $< $@; echo $* >>made
EOF
recipe() { # NAME
	cat >"$1.yaml"
}
cp Makefile.user src/Makefile
# The copy and the program in one layer, and in two.
recipe one <<'EOF'
name: one
from: base.yaml
args: {TURN: "0"}
layers:
  - name: app
    steps:
      - copy: {from: src, to: /src}
      - run: |
          cd /obj; rm -f made; touch made
          make -s -f /src/Makefile VPATH=/src out
          cat out made | tr '\n' ' ' >/out
        cache: [/obj]
EOF
recipe apart <<'EOF'
name: apart
from: base.yaml
args: {TURN: "0"}
layers:
  - {name: src, copy: {from: src, to: /src}}
  - name: app
    run: |
      cd /obj; rm -f made; touch made
      make -s -f /src/Makefile VPATH=/src out
      cat out made | tr '\n' ' ' >/out
    cache: [/obj]
EOF
for name in one apart; do
	echo 1 >src/a.c
	echo 2 >src/b.c
	check_equal "$name: all is made at first" "1 2 a b out " "$(built $name)"
	check_equal "$name: nothing is made anew when nothing changed" "1 2 " "$(built $name --set TURN=1)"
	check_equal "$name: nor without the build's cache" "1 2 " "$(built $name --no-cache)"
	touch src/a.c
	check_equal "$name: nor when a file was touched" "1 2 " "$(built $name --no-cache)"
	echo 3 >src/a.c
	check_equal "$name: what changed is made anew, and that alone" "3 2 a out " "$(built $name)"
	check_equal "$name: once" "3 2 " "$(built $name --no-cache)"
	echo 1 >src/a.c
	check_equal "$name: going back is a change, too" "1 2 a out " "$(built $name --no-cache)"
	echo 4 >src/b.c
	touch -d 2001-01-01 src/b.c
	check_equal "$name: whatever the time of the file in the context" "1 4 b out " "$(built $name)"
	check_equal "$name: what changed before keeps its time" "1 4 " "$(built $name --set TURN=2)"
done
# From the layer to one below it, and back.
cp apart.yaml keep.yaml
sed 's/^name: apart/name: one/' apart.yaml >one.new
cp one.yaml one.old
cp one.new one.yaml
check_equal "the same file in a layer of its own is no newer" "1 4" "$(built one | cut -c1-3)"
echo 5 >src/a.c
check_equal "and one that changes there is" "5 4 a out " "$(built one)"
cp one.old one.yaml
echo 6 >src/a.c
check_equal "back again" "6 4" "$(built one | cut -c1-3)"

# ---- what is below changes ----
recipe below <<'EOF'
name: below
from: base.yaml
args: {VALUE: "1", TURN: "0"}
layers:
  - {name: generated, run: 'mkdir -p /gen; echo "$VALUE" >/gen/a.h'}
  - name: app
    run: |
      cd /obj
      printf 'out: /gen/a.h\n\tcp $< out; echo made\n' >Makefile
      make -s out >log
      cat out log | tr '\n' ' ' >/out
    cache: [/obj]
EOF
check_equal "a file of a step below" "1 made " "$(built below)"
check_equal "that did not change" "1 " "$(built below --set TURN=1)"
check_equal "that did" "2 made " "$(built below --set VALUE=2)"
rm -rf "$SBUILD_STORE"/sbuild/trees/*
check_equal "also where nobody can tell what it was" "3 made " "$(built below --set VALUE=3)"
rm -f "$SBUILD_STORE"/sbuild/caches/*.inputs
check_equal "or what the cache was made from" "3 made " "$(built below --no-cache --set VALUE=3)"

recipe hidden <<'EOF'
name: hidden
from: base.yaml
layers:
  - {name: low, copy: {from: low.txt, to: /in.txt}}
  - name: app
    steps:
      - copy: {from: high.txt, to: /in.txt}
      - run: |
          cd /obj
          printf 'out: /in.txt\n\tcp $< out\n' >Makefile
          make -s out
          cp out /out
        cache: [/obj]
EOF
echo low >low.txt
echo high >high.txt
check_equal "a file over another" high "$(built hidden)"
sed '/copy: {from: high/d' hidden.yaml >hidden.new
mv hidden.new hidden.yaml
check_equal "that goes: the other is seen, and is new" low "$(built hidden)"

recipe link <<'EOF'
name: link
from: base.yaml
args: {TARGET: v1}
layers:
  - {name: src, run: 'mkdir -p /v1 /v2; echo 1 >/v1/in; echo 2 >/v2/in'}
  - {name: chosen, run: 'ln -s "$TARGET" /current'}
  - name: app
    run: |
      cd /obj
      printf 'out: /current/in\n\tcp $< out\n' >Makefile
      make -s out
      cp out /out
    cache: [/obj]
EOF
check_equal "a link to a directory" 1 "$(built link)"
check_equal "that leads elsewhere" 2 "$(built link --set TARGET=v2)"

# Tools that compare times for equality: another file of the same size has another time.
recipe exact <<'EOF'
name: exact
from: base.yaml
layers:
  - {name: src, copy: {from: exact.txt, to: /in.txt}}
  - name: app
    run: |
      cd /obj
      seen=$(stat -c '%y %s' /in.txt)
      if [ "$seen" != "$(cat seen 2>/dev/null)" ]; then cp /in.txt copy; echo "$seen" >seen; fi
      cp copy /out
    cache: [/obj]
EOF
for text in a b a c; do
	echo $text >exact.txt
	check_equal "the same size, another content: $text" $text "$(built exact)"
done

# Two recipes, one directory.
for name in left right; do
	sed -e "s/^name: exact/name: $name/" -e "s/exact.txt/$name.txt/" -e 's/cache: .*/cache: [{path: \/obj, shared: both}]/' exact.yaml >$name.yaml
	echo $name >$name.txt
done
for name in left right left right; do
	check_equal "a shared directory: $name" $name "$(built $name --no-cache)"
done

# ---- without a cache directory ----
mkdir dummy lib
echo dummy >dummy/main.c
echo library >lib/lib.c
echo real >src/main.c
cat >Makefile.in <<'EOF'
out: main.o lib.o
	cat main.o lib.o >out; echo out >>made
%.o: %.c
	cp $< $@; echo $* >>made
EOF
cp Makefile.in dummy/Makefile
cp Makefile.in src/Makefile
rm src/a.c src/b.c
recipe ahead <<'EOF'
name: ahead
from: base.yaml
layers:
  - {name: lib, copy: {from: lib, to: /src}}
  - {name: dummy, copy: {from: dummy, to: /src}}
  - {name: ahead, run: make -s -C /src}
  - {name: again, copy: {from: [lib, src], to: /src}}
  - {name: unrelated, run: 'true'}
  - {name: app, run: 'cd /src; rm made; touch made; make -s; cat out made | tr "\n" " " >/out'}
EOF
check_equal "the real source replaces the dummy; what is the same stays made" \
	"real library main out " "$(built ahead)"
first=$("$SBUILD" build ahead.yaml --store "$T/other" 2>/dev/null)
check_equal "another store comes to the same image" "$first" "$("$SBUILD" build ahead.yaml 2>/dev/null)"
check "no file of the source is in the layer of the program" sh -c \
	"! '$SBUILD' ls ahead --layer app | grep -q 'main\.c'"
check_equal "files have the epoch in the image" 1577836800 \
	"$("$SBUILD" export ahead --format rootfs -o - | tar -tvf - --full-time | awk '$6 == "src/main.c" { print $4 "T" $5 "Z" }' | date -f - +%s)"

recipe within <<'EOF'
name: within
from: base.yaml
layers:
  - name: app
    steps:
      - copy: {from: [lib, dummy], to: /src}
      - run: make -s -C /src
      - copy: {from: src, to: /src}
      - run: 'cd /src; rm made; touch made; make -s; cat out made | tr "\n" " " >/out'
EOF
check_equal "all of that in one layer" "real library main out " "$(built within)"

recipe install <<'EOF'
name: install
from: base.yaml
layers:
  - {name: src, copy: {from: [lib, src], to: /src}}
  - {name: make, run: make -s -C /src}
  - {name: app, run: 'cd /src; rm made; touch made; make -s; cat out made | tr "\n" " " >/out'}
EOF
check_equal "what a layer below made is not made again" "real library " "$(built install)"

# Times that a program sees and writes down are the same on any machine.
recipe seen <<'EOF'
name: seen
from: base.yaml
layers:
  - {name: dummy, copy: {from: dummy, to: /src}}
  - {name: src, copy: {from: src, to: /src}}
  - name: app
    steps:
      - copy: {from: lib, to: /src}
      - run: 'cd /src; stat -c "%n %Y" * >/out; chmod 600 main.c'
EOF
built seen >seen.one
first=$("$SBUILD" build seen.yaml 2>/dev/null)
sleep 1
check_equal "the times that a program sees are no machine's" "$first" "$("$SBUILD" build seen.yaml --no-cache --store "$T/other" 2>/dev/null)"
check_equal "a changed mode of such a file is in the image, with the epoch" "-rw------- 2020-01-01" \
	"$(TZ=UTC "$SBUILD" export seen --format rootfs -o - | TZ=UTC tar -tvf - | awk '$6 == "src/main.c" { print $1, $4 }')"

# ---- as a user ----
test_user
mkdir home/work
cp -r rootfs src base.yaml one.old apart.yaml home/work/
mv home/work/one.old home/work/one.yaml
cp Makefile.user home/work/src/Makefile
echo 1 >home/work/src/a.c
echo 2 >home/work/src/b.c
chown -R "$user" home/work
user_built() { # NAME
	as_user -C "$T/home/work" SBUILD_STORE="$T/home/store" "$SBUILD" build "$1.yaml" >log 2>&1 || cat log >&2
	as_user SBUILD_STORE="$T/home/store" "$SBUILD" export "$1" --format rootfs -o - | tar -xOf - out
}
for name in one apart; do
	user_built $name >/dev/null
	echo 3$name >home/work/src/a.c
	check_equal "as a user, $name: what changed is made anew, and that alone" "3$name 2 a out " "$(user_built $name)"
done
