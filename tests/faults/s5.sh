#!/bin/sh
# A run step that fails names the command that failed; one without a network, what it lacks.
. tests/faults/lib.sh
need_root
bb
cat >fails.yaml <<'END'
name: fails
from: bb.yaml
layers:
  - name: l
    run: |
      # a comment
      echo before
      cat /nonexistent
      echo after
END
check_fails "a run that fails" 4 "$SBUILD" build fails.yaml
check_said 'fails.yaml:8: run: `cat /nonexistent` ended with status 1'
cat >names.yaml <<'END'
name: names
from: bb.yaml
layers: [{name: l, run: "wget -q http://example.com/x"}]
END
check_fails "a run that asks the network" 4 "$SBUILD" build names.yaml
check_said 'hint: .*network: host'
