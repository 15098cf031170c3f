# A secret is a file where the recipe says, or a variable, for steps of any kind; and nowhere else.
. tests/faults/lib.sh
need_root
need runc
bb
secret="S3cret$$"
printf '%s\n' "$secret" >token
cat >app.yaml <<'END'
name: app
from: bb.yaml
layers:
  - name: a
    run: '[ "$(cat /etc/pip.conf)" = "$KEY" ] && [ ! -e /run/secrets ] && echo "$KEY" | md5sum >/seen'
    secrets: [{name: token, to: /etc/pip.conf}, {name: token, env: KEY}]
END
check "a file and a variable" build app --secret id=token,src=token
tree app:latest app
check_equal "have its value" "$(md5sum <token)" "$(cat app/seen)"
check_equal "no trace of the file stays" "" "$(ls app/etc/pip.conf 2>/dev/null)"
check_equal "no file of the store has it" "" "$(grep -rlF "$secret" "$SBUILD_STORE" app.out)"
