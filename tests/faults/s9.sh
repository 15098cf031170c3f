# What tools leave in HOME, wherever that is, is in no layer; what was put there on purpose is.
. tests/faults/lib.sh
need_root
need runc
bb
cat >app.yaml <<'END'
name: app
from: bb.yaml
layers:
  - name: a
    run: |
      mkdir -p ~/.cache/pip/http ~/.cache/huggingface/hub ~/.npm/_cacache
      echo x | tee ~/.cache/pip/http/x ~/.npm/_cacache/x ~/.bash_history ~/.cache/huggingface/hub/model
image: {env: {HOME: /tmp}}
END
check "an image whose HOME is /tmp" build app
tree app:latest app
check_equal "has no caches of tools, but the model" "./.cache/huggingface/hub/model" "$(cd app/tmp && find . -type f)"
