# A directory that no pattern can reach need not be readable.
. tests/faults/lib.sh
need_root
test_user
mkdir -p ctx/src ctx/data/private
echo code >ctx/src/code
chmod 700 ctx/data/private
printf 'name: app\nfrom: scratch\ncontext: ctx\nlayers: [{name: l, copy: {from: ., include: ["src/**"], to: /x/}}]\n' >app.yaml
cp app.yaml whole.yaml
sed -i 's/include: .*\], to/to/' whole.yaml
mkdir -m 777 user-store
check "a user builds beside it" as_user "SBUILD_STORE=$T/user-store" "$SBUILD" app.yaml
check_fails "what is needed and can't be read" 1 as_user "SBUILD_STORE=$T/user-store" "$SBUILD" whole.yaml
check_said 'data/private: Permission denied'
check_said 'hint: let the user who builds read it, or leave it out'
# Nor is one that is needed, but for a later layer, found after the steps before it.
printf 'name: later\nfrom: scratch\nlayers:\n  - {name: slow, run: "sleep 100"}\n  - {name: l, copy: {from: ctx, to: /x/}}\n' >later.yaml
check_fails "a plan" 1 as_user "SBUILD_STORE=$T/user-store" "$SBUILD" plan later.yaml
check_said 'layer l: .*data/private: Permission denied'
mkdir -p 'ctx/src/lib' && chmod 700 ctx/src/lib
printf 'name: app\nfrom: scratch\ncontext: ctx\nlayers: [{name: l, copy: {from: "src/c*", to: /x/}}]\n' >app.yaml
check "a wildcard opens no directory that it can't reach" as_user "SBUILD_STORE=$T/user-store" "$SBUILD" app.yaml
sed -i 's|src/c\*|**/c*|' app.yaml
check_fails "one that reaches it" 1 as_user "SBUILD_STORE=$T/user-store" "$SBUILD" app.yaml
check_said '(data/private|src/lib): Permission denied'
