#!/bin/sh
# Secrets are seen by their step and by nothing else, cache directories are kept and in no layer.
. tests/e2e/lib.sh
need_root
need runc jq
busybox_base
secret="Sup3r-$$-$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')"
printf '%s' "$secret" >token
cat >secret.yaml <<'EOF'
name: secret
from: base.yaml
layers:
  - {name: before, run: "touch /before"}
  - name: uses
    secrets: [token, other]
    run: |
      ls -ln /run/secrets >/seen
      md5sum </run/secrets/token >>/seen
      cat /run/secrets/token >/dev/null
      ! echo x 2>/dev/null >/run/secrets/token
      ! touch /run/secrets/new 2>/dev/null
      touch /dev/shm/x; rm /dev/shm/x
      sleep 2
  - {name: after, run: "[ ! -e /run/secrets ]; ls -a / >/after"}
EOF
built() { jq -r '[.layers[] | select(.cached | not) | .name] | join(" ")' meta; }
build() {
	"$SBUILD" "$@" --progress plain --metadata-file meta 2>>err
}

check_fails "a missing secret" 2 "$SBUILD" secret.yaml --secret id=token,src=token
cp .check missing
check "its error names it, and how to give it" sh -c 'grep -q "secret.*other" missing && grep -q -e --secret missing'
check_equal "nothing ran before it was said" "" "$(grep building missing)"
check_fails "a file that isn't there" 1 "$SBUILD" secret.yaml --secret id=token,src=nowhere --secret id=other,src=token

# What every process shows while the step sleeps.
OTHER=$secret-by-env "$SBUILD" secret.yaml --secret id=token,src=token --secret id=other,env=OTHER \
	--progress plain --metadata-file meta >digest 2>>err &
pid=$!
i=0
until pgrep -f 'sh -eu /dev/sbuild-script' >/dev/null && pgrep -x sleep >/dev/null || [ $i = 300 ]; do
	sleep 0.05 && i=$((i + 1))
done
check "the step was caught at work" test $i -lt 300
for p in /proc/[0-9]*; do
	[ "$p" != "/proc/$$" ] || continue
	tr '\0' '\n' <"$p/cmdline" | grep -F "$secret" | sed "s|^|$p cmdline: |"
	[ "$p" != "/proc/$pid" ] || continue # it was given the variable by us
	tr '\0' '\n' <"$p/environ" | grep -F "$secret" | sed "s|^|$p environ: |"
done >shown 2>/dev/null
check_equal "no process shows the secret" "" "$(cat shown)"
check_equal "while it runs, no file of the store has it" "" \
	"$(find "$SBUILD_STORE" -xdev -type f -exec grep -slF "$secret" {} +)"
wait $pid
check "a recipe with secrets is built" grep -q ^sha256: digest
nowhere() {
	! grep -rlF "$secret" "$SBUILD_STORE" err digest meta
}
check "the secret is nowhere afterwards" nowhere
for blob in "$SBUILD_STORE"/blobs/sha256/*; do
	{ zstd -dc "$blob" 2>/dev/null || cat "$blob"; } | grep -cF "$secret"
done | sort -u >counts
check_equal "nor in any unpacked layer" 0 "$(cat counts)"
"$SBUILD" export secret:latest --format rootfs -o secret.tar 2>/dev/null
tar -xOf secret.tar seen >seen
check "its owner and mode" grep -Eq '^-r-------- +1 0 +0 .* token$' seen
check "its content was right" grep -q "^$(md5sum <token | cut -d' ' -f1)" seen
check_equal "mount points leave no trace" "" "$(tar -tf secret.tar | sed 's|^\./||' | grep -E '^(run|proc|sys|dev)(/|$)')"
"$SBUILD" ls secret:latest >ls
check "ls has no /run, either" sh -c '! grep -E "[ /]run(/|$)" ls'

same="--secret id=token,src=token --secret id=other,env=OTHER"
OTHER=$secret-by-env build secret.yaml $same >digest2
check_equal "the same secrets: nothing is built" "" "$(built)"
printf changed >token
OTHER=$secret-by-env build secret.yaml $same >digest3
check_equal "a changed secret builds its layer again" uses "$(built | cut -d' ' -f1)"

# ---- other places, and variables ----

cat >places.yaml <<'EOF'
name: places
from: base.yaml
layers:
  - name: uses
    secrets: [{name: value, env: VALUE}, {name: value, to: /root/.netrc}, {name: value, to: /run/secrets/mine}]
    steps:
      - run: |
          echo places; [ "$VALUE" = "$(cat /root/.netrc)" ] && [ "$VALUE" = "$(cat /run/secrets/mine)" ]
          [ "$(ls /run/secrets)" = mine ]
          stat -c '%u %a' /root/.netrc >/seen
          ! echo x 2>/dev/null >/root/.netrc
          sleep 2.5
      - run: '[ -z "${VALUE:-}" ] && [ ! -s /root/.netrc ] && cat /own >/dev/null'
        secrets: [{name: value, to: /own}]
EOF
printf '%s\n' "$secret" >value
"$SBUILD" places.yaml --secret id=value,src=value --progress plain --metadata-file meta >digest4 2>err4 &
pid=$!
i=0
until pgrep -f 'sh -eu /dev/sbuild-script' >/dev/null && pgrep -x sleep >/dev/null || [ $i = 300 ]; do
	sleep 0.05 && i=$((i + 1))
done
check "the step was caught at work, again" test $i -lt 300
check_equal "no command line and no file of the store has what is in its variable" "" \
	"$(for p in /proc/[0-9]*; do [ "$p" = "/proc/$$" ] || tr '\0' '\n' <"$p/cmdline" | grep -F "$secret"; done 2>/dev/null
	find "$SBUILD_STORE" -xdev -type f -exec grep -slF "$secret" {} +)"
wait $pid || cat err4
check "a recipe with secrets in other places is built" grep -q ^sha256: digest4
check_equal "afterwards nothing has it" "" "$(grep -rlF "$secret" "$SBUILD_STORE" err4 digest4 meta)"
"$SBUILD" export places:latest --format rootfs -o places.tar 2>/dev/null
check_equal "its file was its user's alone" "0 400" "$(tar -xOf places.tar seen)"
check_equal "no place leaves a trace" "" "$(tar -tf places.tar | grep -E '(^|/)(own|[.]netrc)$|^run/')"
check_equal "no tmpfs stays" "" "$(grep -E 'sbuild-(secrets|bundle)' /proc/mounts)"
sed -i 's/env: VALUE}/env: OTHER}/' places.yaml
"$SBUILD" plan places.yaml --secret id=value,src=value >plan 2>&1
check "another variable builds the layer again" has plan 'secret_places changed'

# ---- cache directories ----

cat >cache.yaml <<'EOF'
name: cache
from: base.yaml
args: {N: "1"}
layers:
  - name: count
    cache: [/var/cache/counter, /root/.cache/x]
    run: |
      echo "$N" >>/var/cache/counter/runs
      cp /var/cache/counter/runs /runs
      touch /root/.cache/x/file
  - {name: after, run: "ls -a /var /root >/listing 2>&1 || :"}
EOF
build cache.yaml >/dev/null
build cache.yaml --set N=2 >/dev/null
"$SBUILD" export cache:latest --format rootfs -o cache.tar 2>/dev/null
check_equal "a cache directory is kept between builds" "1 2 " "$(tar -xOf cache.tar runs | tr '\n' ' ')"
check_equal "it leaves no trace in a layer" "" "$(tar -tf cache.tar | grep -E 'var|\.cache')"
check "nor in the next layer's root" sh -c "! tar -xOf cache.tar listing | grep -E 'cache'"
check_store "after all of this"
