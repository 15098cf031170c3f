# "**" means the same in from: as in exclude:.
. tests/faults/lib.sh
mkdir -p ctx/a/b
echo 0 >ctx/0.c
echo 1 >ctx/a/1.c
echo 2 >ctx/a/b/2.c
echo no >ctx/a/b/no.h
printf 'name: app\nfrom: scratch\ncontext: ctx\nlayers: [{name: l, copy: {from: "**/*.c", to: /x/}}]\n' >app.yaml
check "it builds" build app
tree app:latest out
check_equal "with files of all depths" "0.c 1.c 2.c" "$(ls out/x | tr '\n' ' ' | sed 's/ $//')"
