#!/bin/sh
# Stages, and what is copied from them, from other recipes, and from images.
# shellcheck disable=SC2016 # $ belongs to the recipes
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
. "$TOP/tests/e2e/registry.lib"
need_root
need python3 crun
start_registry reg
HOST=$REGISTRY

busybox_root root
ln -s srv root/lnk
mkdir -p root/srv src
echo one >src/main.txt
cat >app.yaml <<-'END'
	name: app
	from: scratch
	stages:
	  - name: base
	    from: scratch
	    layers: [{name: root, copy: {from: root, to: /}}]
	  - name: make
	    from: {stage: base}
	    image: {env: {GREETING: hello}, workdir: /srv}
	    layers:
	      - {name: sources, copy: {from: src, to: /in}}
	      - name: build
	        run: |
	          tr a-z A-Z </in/main.txt | cut -c 1-3 >out.txt
	          echo "$GREETING" >hello.txt
	          mkdir -p /data/kept /data/gone
	          echo 1 >/data/kept/a; echo 2 >/data/gone/b; echo 3 >/data/c
	          ln out.txt /data/hard; ln -s c /data/soft; ln -s /data/kept /data/way
	          chown 5:6 /data/c; chmod 4750 /data/c
	      - name: less
	        run: rm -r /data/gone && rm -r /data/kept && mkdir /data/kept && echo 4 >/data/kept/d
	  - name: unused
	    from: scratch
	    layers: [{name: never, download: {url: "http://127.0.0.1:1/x", sha256: 0000000000000000000000000000000000000000000000000000000000000000, to: /x}}]
	layers:
	  - {name: out, copy: {stage: make, from: [srv/out.txt, /srv/hello.txt], to: /out/}}
	  - {name: data, copy: {stage: make, from: /data, to: /data}}
	  - {name: links, copy: {stage: make, from: [/lnk/out.txt, /data/way/], to: /l}}
	  - {name: owned, copy: {stage: make, from: "/data/*", to: /w, owner: "7:8", mode: "0600"}}
	  - {name: one, copy: {stage: make, from: /data/way, to: /o/}}
END
listing() { "$SBUILD" export "$1" --store "${2:-$SBUILD_STORE}" --format rootfs -o - | tar tv --numeric-owner -f - | awk '{ print $1, $2, $3, $6 $7 $8 }' | sort -k 4; }

digest=$("$SBUILD" app.yaml --progress plain 2>err)
check "a stage is built" grep -q 'built app/make build' err
check "one that nothing needs is not" test -z "$(grep unused err)"
check_equal "no layer of a stage is the image's" 5 "$("$SBUILD" inspect app --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["layers"]))')"
check_equal "nor has a stage a name" 1 "$("$SBUILD" images --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')"
listing app >tree
check_equal "files come as they are there, without what was removed" "-rw-r--r-- 0/0 4 data/hard
-rwsr-x--- 5/6 2 data/c
drwxr-xr-x 0/0 0 data/
drwxr-xr-x 0/0 0 data/kept/
lrwxrwxrwx 0/0 0 data/soft->c
lrwxrwxrwx 0/0 0 data/way->/data/kept
-rw-r--r-- 0/0 2 data/kept/d" "$(for path in hard c / kept/ soft way kept/d; do
	grep " data/\{0,1\}${path#/}\(->.*\)\{0,1\}$" tree
done)"
check_equal "links on the way, and at the end of one with /, are followed" "- d
-rw-r--r-- l/d
-rw-r--r-- l/out.txt" "- d
$(awk '$4 ~ /^l\/./ { print $1, $4 }' tree)"
check_equal "but not at the end of one without" "lrwxrwxrwx o/way->/data/kept" "$(awk '$4 ~ /^o\/./ { print $1, $4 }' tree)"
check_equal "owner and mode count for all" "-rw------- 7/8 w/c -rw------- 7/8 w/hard" "$(awk '$4 ~ /^w\/[ch]/ { print $1, $2, $4 }' tree | paste -sd ' ')"
check "the content is the program's" sh -c '"$SBUILD" export app --format rootfs -o - | tar xOf - out/out.txt | grep -q "^ONE$"'


# ---- a user, who can be nobody else ----

test_user
mkdir mine && chown "$user" mine
check_equal "a user gets the same image" "$digest" "$(as_user "$SBUILD" app.yaml --store "$T/mine/store" --progress plain 2>err.user)"
as_user "$SBUILD" app.yaml --no-cache=data --store "$T/mine/store" --progress plain >again 2>err.user
check_equal "also where nothing needs a root" "$digest" "$(cat again)"
check_store "as a user" "$T/mine/store"

# ---- what is built again ----

check_equal "nothing changed: nothing is built" "$digest" "$("$SBUILD" app.yaml --progress plain 2>err)"
check_equal "no layer at all" 0 "$(grep -c '^  building' err)"
echo 'one more' >src/main.txt # of which nothing is seen in what comes out
"$SBUILD" plan app.yaml >plan
check "plan tells of the stage" grep -q '^build *app/make *sources *src/main.txt changed' plan
check "and what depends on it" grep -q '^unknown *app *out *depends on what app/make turns out' plan
check_equal "a stage that makes the same is built, and nothing above it" "$digest" "$("$SBUILD" app.yaml --progress plain 2>err)"
check_equal "three layers of the stage" "app/make sources app/make build app/make less" "$(sed -n 's/^  building \([^ ]* [^:]*\):.*/\1/p' err | paste -sd ' ')"
echo two >src/main.txt
"$SBUILD" app.yaml --explain --progress plain >other 2>err
check "another file is not missed" test "$digest" != "$(cat other)"
check "only what holds it is made anew" sh -c '! grep -q "building app owned" err || grep -q "building app data" err'
check "and the reason is told" grep -q 'out.txt changed' err
"$SBUILD" app.yaml --no-cache=make/build --progress plain >/dev/null 2>err
check_equal "a layer of a stage can be built anew by its name" 1 "$(grep -c 'building app/make build' err)"
"$SBUILD" build app.yaml --until make/sources --progress plain >until 2>err
check "or be the last" test -s until

# ---- another recipe, and images ----

cat >second.yaml <<-'END'
	name: second
	from: scratch
	layers:
	  - {name: out, copy: {recipe: app.yaml, from: out, to: /taken}}
END
"$SBUILD" second.yaml --progress plain >/dev/null 2>err
check_equal "from a recipe, which is there already" 0 "$(grep -c 'building app' err)"
check "its files" sh -c '"$SBUILD" export second --format rootfs -o - | tar xOf - taken/out.txt | grep -q "^TWO$"'
"$SBUILD" push app "$HOST/team/app:v1" >/dev/null 2>err
cat >third.yaml <<-END
	name: third
	from: scratch
	layers:
	  - {name: out, copy: {image: "$HOST/team/app:v1", from: /out/out.txt, to: /}}
END
"$SBUILD" third.yaml --store S3 --progress plain >/dev/null 2>err
check "from an image of a registry" sh -c '"$SBUILD" export third --store S3 --format rootfs -o - | tar xOf - out.txt | grep -q "^TWO$"'
"$SBUILD" lock third.yaml >locked 2>&1
check "which the lock file pins" grep -q "$HOST/team/app:v1" third.lock
echo three >src/main.txt
"$SBUILD" app.yaml >/dev/null 2>&1
"$SBUILD" push app "$HOST/team/app:v1" >/dev/null 2>&1
"$SBUILD" third.yaml --store S3 --progress plain >/dev/null 2>err
check_equal "so that a tag that moves changes nothing" 0 "$(grep -c '^  building' err)"
"$SBUILD" lock third.yaml --update >/dev/null 2>&1
"$SBUILD" third.yaml --store S3 --progress plain >/dev/null 2>err
check "until the lock file moves" sh -c '"$SBUILD" export third --store S3 --format rootfs -o - | tar xOf - out.txt | grep -q "^THR$"'

head -c 300000 /dev/urandom >src/large
printf 'name: tool\nfrom: scratch\nlayers: [{name: large, copy: {from: src/large, to: /data/}}, {name: tool, copy: {from: src/main.txt, to: /bin/tool}}, {name: top, copy: {from: src/main.txt, to: /top}}]\n' >tool.yaml
"$SBUILD" tool.yaml >/dev/null 2>&1 && "$SBUILD" push tool "$HOST/team/tool:v1" >/dev/null 2>&1
rm src/large
fetched() { # FROM: how many layers are fetched to copy that of an image that nobody here has seen
	printf 'name: of\nfrom: scratch\nlayers: [{name: of, copy: {image: "%s/team/tool:v1", from: %s, to: /of/}}]\n' "$HOST" "$1" >of.yaml
	rm -rf S4
	"$SBUILD" of.yaml --store S4 --progress plain 2>&1 >/dev/null | grep -c '^  fetched '
}
check_equal "a file of an image takes the layers from the top to where it is" "1 2 3" "$(fetched /top) $(fetched /bin/tool) $(fetched /data/large)"
check_equal "of a directory each may have a part" 3 "$(fetched /bin)"
check_equal "so may they of what is not there" 3 "$(fetched /bin/none)"
printf 'name: of\nfrom: scratch\nlayers: [{name: a, copy: {image: "%s/team/tool:v1", from: /top, to: /a}}, {name: b, copy: {image: "%s/team/tool:v1", from: /bin, to: /b}}]\n' "$HOST" "$HOST" >of.yaml
rm -rf S4
check "a later step gets what the one before did not need" sh -c '"$SBUILD" of.yaml --store S4 && "$SBUILD" export of --store S4 --format rootfs -o - | tar xOf - b/tool | grep -q three'

# ---- inputs ----

cat >inputs.yaml <<-'END'
	name: inputs
	from: {stage: base}
	stages:
	  - {name: base, from: scratch, layers: [{name: root, copy: {from: root, to: /}}]}
	  - {name: lib, from: scratch, layers: [{name: x, copy: {from: src, to: /out}}]}
	layers:
	  - name: use
	    run: |
	      cat /src/main.txt /lib/main.txt /app/main.txt /run/secrets/none 2>/dev/null >/result || :
	      ! touch /src/x && ! echo x >/app/main.txt
	      echo made >/app/made; [ /src/dir/object -nt /src/main.txt ] || { cp /src/main.txt /src/dir/object; echo compiled; }
	    inputs: [{from: src, to: /src}, {stage: lib, from: /out, to: /lib}, {from: src/main.txt, to: /app/}]
	    cache: [/src/dir]
END
"$SBUILD" inputs.yaml --progress plain >/dev/null 2>err
check "a step sees its inputs" sh -c '"$SBUILD" export inputs --format rootfs -o - | tar xOf - result | uniq -c | grep -q "3 three"'
check_equal "which are in no layer" "app/ app/made" "$(listing inputs | awk '$4 ~ /^(src|lib|app)/ { print $4 }' | paste -sd ' ')"
check "a make compiles" grep -q '| compiled' err
"$SBUILD" inputs.yaml --progress plain >/dev/null 2>err
check_equal "nothing changed: nothing runs" 0 "$(grep -c '^  building' err)"
"$SBUILD" inputs.yaml --no-cache=use --progress plain >/dev/null 2>err
check_equal "what did not change is older than what was made of it" 0 "$(grep -c '| compiled' err)"
echo four >src/main.txt
"$SBUILD" inputs.yaml --explain --progress plain >/dev/null 2>err
check "what changed is newer" grep -q '| compiled' err
check "and is told of" grep -q 'the input /src changed' err
echo three >src/main.txt
"$SBUILD" inputs.yaml --no-cache=use --progress plain >/dev/null 2>err
check "also when it is what it was before" grep -q '| compiled' err
sed -i 's/echo made/exit 3; echo made/' inputs.yaml
echo five >src/main.txt
"$SBUILD" inputs.yaml --progress plain >/dev/null 2>err || :
sed -i 's/exit 3; //' inputs.yaml
"$SBUILD" inputs.yaml --progress plain >/dev/null 2>err
check "and after a step that failed over it" grep -q '| compiled' err

# ---- a machine that has nothing, and a shared cache ----

"$SBUILD" app.yaml --store A --cache-to "$HOST/cache" >a 2>err
registry_log reg | wc -l >mark
"$SBUILD" app.yaml --store B --cache-from "$HOST/cache" --progress plain >b 2>err
check_equal "all layers are found, those of stages too" "$(cat a)" "$(cat b)"
check_equal "none is built" 0 "$(grep -c '^  building' err)"
check_equal "and no layer is fetched" 0 "$(registry_log reg | tail -n "+$(($(cat mark) + 1))" | grep -c 'GET [^ ]*/blobs/.* 200.*octet' || :)"

# ---- side by side ----

cat >beside.yaml <<-'END'
	name: beside
	from: scratch
	stages:
	  - {name: base, from: scratch, layers: [{name: root, copy: {from: root, to: /}}]}
	  - {name: one, from: {stage: base}, layers: [{name: wait, run: sleep 2; echo 1 >/f}]}
	  - {name: two, from: {stage: base}, layers: [{name: wait, run: sleep 2; echo 2 >/f; mkfifo /pipe}]}
	layers:
	  - {name: one, copy: {stage: one, from: f, to: /1}}
	  - {name: two, copy: {stage: two, from: f, to: /2}}
END
"$SBUILD" beside.yaml --jobs 2 --progress plain >/dev/null 2>err
check_equal "stages that don't need one another are built side by side" "building building built built" \
	"$(sed -n 's/^  \(buil[a-z]*\) beside.* wait.*/\1/p' err | paste -sd ' ')"
sed -i 's/stage: two, from: f/stage: two, from: pipe/' beside.yaml
check_fails "a FIFO is no file to copy" 1 "$SBUILD" beside.yaml
check_said 'hint: leave it out with exclude:$'
check_said 'the stage two:/pipe: not a file'

cat >leads.yaml <<-'END'
	name: leads
	from: scratch
	stages:
	  - {name: base, from: scratch, layers: [{name: root, copy: {from: root, to: /}}]}
	  - {name: leads, from: {stage: base}, layers: [{name: link, run: ln -s ../../../../../../../../../../etc /out}]}
	layers: [{name: of, copy: {stage: leads, from: /out/passwd, to: /}}]
END
check "a link that leads out" "$SBUILD" leads.yaml
check_equal "leads to what the image has there" "$(cat root/etc/passwd)" "$("$SBUILD" export leads --format rootfs -o - | tar xOf - passwd)"

# ---- extended attributes ----

if command -v setcap >/dev/null && command -v setfattr >/dev/null && command -v jq >/dev/null; then
	bring setcap root && bring setfattr root
	cat >able.yaml <<-'END'
		name: able
		from: {stage: base}
		stages:
		  - {name: base, from: scratch, layers: [{name: root, copy: {from: root, to: /}}]}
		  - name: able
		    from: {stage: base}
		    layers:
		      - name: able
		        run: |
		          cp /bin/busybox /able && setcap cap_net_raw+ep /able && setfattr -n user.why -v because /able
		          mkdir /d && ln /able /d/linked && cp /bin/busybox /d/plain && cp -a /able /twice && setcap cap_net_raw+ep /twice
		      - {name: above, run: "cp /twice /t && rm /twice && mv /t /twice"}
		layers:
		  - {name: copied, copy: {stage: able, from: [able, d, twice], to: /copied/}}
		  - {name: mixed, steps: [{copy: {stage: able, from: able, to: /mixed, owner: "1:1"}}, {run: "true"}]}
	END
	attributes() { # of all files of a layer, from the top
		zstd -dcq "$SBUILD_STORE/blobs/sha256/$(jq -r ".layers[-$1].digest[7:]" meta)" | python3 -c 'import sys, tarfile
for e in tarfile.open(fileobj=sys.stdin.buffer, mode="r|"):
    print(e.name, *sorted(k[13:] for k in e.pax_headers if k.startswith("SCHILY.xattr.")))'
	}
	check "files with capabilities are copied" "$SBUILD" able.yaml --metadata-file meta
	check_equal "with these, as they are seen in the image" \
		"copied/able security.capability user.why,copied/linked security.capability user.why,copied/plain,copied/twice" \
		"$(attributes 2 | grep -v -e '^copied/*$' | paste -sd ,)"
	check_equal "also onto a root, with another owner" "mixed security.capability user.why" "$(attributes 1 | grep mixed)"
	check_equal "a user gets the same image" "$("$SBUILD" able.yaml 2>/dev/null)" "$(as_user "$SBUILD" able.yaml --store "$T/mine/store" 2>err.user)"
	before=$(jq -r '.layers[-2].digest' meta)
	sed -i 's/cap_net_raw+ep \/able/cap_net_admin+ep \/able/' able.yaml
	check "other capabilities alone" "$SBUILD" able.yaml --metadata-file meta
	check "make another layer" [ "$before" != "$(jq -r '.layers[-2].digest' meta)" ]
else
	skip "setcap, setfattr or jq is not installed"
fi

# ---- mistakes ----

sed 's/stage: base/stage: bas/; s/{stage: make, from: \/data,/{stage: mkae, from: \/data,/' app.yaml >bad.yaml
check_fails "stages that aren't there are told of at once" 3 "$SBUILD" bad.yaml
check_said 'bad.yaml:8:.*no stage "bas"'
check_said 'bad.yaml:.*no stage "mkae"'
sed 's/from: \/data, to/from: \/nothing, to/' app.yaml >bad.yaml
check_fails "a path that the stage hasn't" 1 "$SBUILD" bad.yaml
check_said 'the stage make:/nothing: No such file'
