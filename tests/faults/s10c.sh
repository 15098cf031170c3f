# Directories on the way to a cache directory in a user's home are the user's.
. tests/faults/lib.sh
need_root
need runc
bb
cat >app.yaml <<'END'
name: app
from: bb.yaml
layers:
  - {name: user, run: "mkdir -p /home && chown 1234:1234 /home && chmod 0755 /home"}
  - {name: a, run: {script: "touch /home/.cache/uv/x /home/.cache/other", user: worker}, cache: [/home/.cache/uv]}
END
check "a step as a user writes beside its cache" build app
tree app:latest app
check_equal "and owns the way there" "1234 1234" "$(stat -c %u app/home/.cache app/home/.cache/other | tr '\n' ' ' | sed 's/ $//')"
