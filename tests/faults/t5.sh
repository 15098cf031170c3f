#!/bin/sh
# No git in PATH is told as that.
. tests/faults/lib.sh
need git
mkdir -p repo/src bin
cd repo
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_NOSYSTEM=1 HOME="$T"
git init -q -b main .
printf 'name: app\nfrom: scratch\ntags: [semver]\nlayers: [{name: a, copy: {from: src, to: /}}]\n' >app.yaml
echo one >src/file
git add . && git commit -qm one && git tag v1.0.0
check_fails "without git" '[1-3]' env PATH="$T/bin" "$SBUILD" app.yaml
check_said 'app.yaml: tags: asks for semver.* git can.t be asked: the program git is not installed'
check_said 'hint: install git'
check "and none about tags" sh -c '! grep -q "git tag v0.1.0" ../said'
