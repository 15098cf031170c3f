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
