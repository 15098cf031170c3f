# What is missing for a later step is said before the first one runs, and by plan; all of it at once.
. tests/faults/lib.sh
need_root
bb
cat >app.yaml <<'END'
name: app
from: bb.yaml
layers:
  - {name: slow, run: "echo ran"}
  - {name: code, copy: {from: missing, to: /x/}}
  - {name: deps, pip: {requirements: none.txt}}
END
check_fails "a build" 1 "$SBUILD" app.yaml --progress plain
check "runs nothing" sh -c '! grep -q "building app slow" said'
check_said 'layer code: .*missing: No such file'
check_said 'layer deps: .*none.txt: No such file'
check_fails "a plan" 1 "$SBUILD" plan app.yaml
check_said 'layer code: .*missing: No such file'
