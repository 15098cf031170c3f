# An input file must be in each checkout, also where a shared cache has its layer: that is told, by
# plan too, with its name and before anything is built.
. tests/faults/lib.sh
need_root
need jq
bb
mkdir src
echo 1 >src/a
echo 1 >model.bin
printf 'name: app\nfrom: bb.yaml\nargs: {N: "1"}\nlayers: [{name: slow, run: "echo $N >/n"}, {name: model, copy: {from: [src, model.bin], to: /app/}}]\n' >app.yaml
build app
rm model.bin
check_fails "a build without it" 1 "$SBUILD" build app.yaml
check_said 'model\.bin'
check_fails "a plan, also where a layer below has to be built" 1 "$SBUILD" plan app.yaml --set N=2
check_said 'model\.bin'
