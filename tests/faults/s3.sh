# What a requirements file includes lies beside it, is an input, and is missed up front. (A script stands
# for pip: it shows what pip would find; tests/e2e/pip.sh has the real one.)
. tests/faults/lib.sh
need_root
need runc
bb
cat >app.yaml <<'END'
name: app
from: bb.yaml
context: context
layers:
  - name: python
    run: |
      printf '#!/bin/sh\nprintf "%%s\\n" "$@" >/args; find . -type f | sort >/files; cat req/base.txt >/base; touch pkg/built\n' >/bin/python3
      chmod 755 /bin/python3
  - {name: deps, pip: {requirements: req/prod.txt}}
END
mkdir -p context/req context/pkg
printf '# more\n-r base.txt\n-c ../c.txt\n./pkg\n' >context/req/prod.txt
echo aa==1 >context/req/base.txt
echo x >context/pkg/pyproject.toml
echo other >context/other
check_fails "a missing constraints file" "[13]" "$SBUILD" plan app.yaml
echo bb==1 >context/c.txt
check "all is there" build app
tree app:latest app
check_equal "beside one another" "./c.txt ./pkg/pyproject.toml ./req/base.txt ./req/prod.txt" "$(tr '\n' ' ' <app/files | sed 's/ $//')"
echo aa==2 >context/req/base.txt
check "and an included file that changed" build app
tree app:latest app2
check_equal "with its content" aa==2 "$(cat app2/base)"
echo -r nowhere.txt >>context/req/base.txt
check_fails "a missing included file" "[13]" "$SBUILD" plan app.yaml
check_said 'req/base.txt:2: nowhere.txt: there is no req/nowhere.txt'
