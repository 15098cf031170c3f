# For people: what shells complete is tests/e2e/completions, what a shrinking window shows tests/e2e/terminal.
. tests/faults/lib.sh
need jq runc
mkdir src src/deep
echo x >src/x
head -c 3000 /dev/zero >src/deep/largest
printf 'name: base\nfrom: scratch\nlayers: [{name: shared, copy: {from: src, to: /}}]\n' >base.yaml
for i in 1 2; do printf 'name: app-%s\nfrom: base.yaml\nlayers: [{name: own, copy: {from: src, to: /%s}}]\n' $i $i >app-$i.yaml; done
"$SBUILD" build app-1.yaml app-2.yaml --metadata-file two.json >out 2>&1
check_equal "a layer that both stand on was built once" "app-1: 2 of 2 layers built app-2: 1 of 2 layers built" \
	"$(sed -n 's/^\(app-.: . of . layers built\).*/\1/p' out | paste -sd ' ')"
"$SBUILD" build app-1.yaml --metadata-file one.json >out 2>&1
check_equal "the facts of one recipe and of two are read alike" "app-1 app-1 app-2" "$(jq -r '.images[].name' one.json two.json | paste -sd ' ')"
check_equal "the largest file is a file" deep/largest "$(eval "$("$SBUILD" ls --help | sed -n 's/ *# .*//; s/^ *sbuild ls backend \(-R .*\)/"$SBUILD" ls app-1 \1/p')" | tail -n 1 | sed 's/.* //')"
check_equal "diff says where" "- 3.00 kB 1/deep/" "$("$SBUILD" diff app-1 app-2 --summary 2>/dev/null | head -n 1 | sed 's/  *(.*//; s/  */ /g')"
check_equal "and only what is asked for" "2/x" "$("$SBUILD" diff app-1 app-2 /2/x 2>/dev/null | sed 's/.* //')"
bb
printf 'name: fails\nfrom: bb.yaml\nlayers: [{name: fails, run: "echo once; exit 3"}]\n' >fails.yaml
check_fails "a step that fails" 4 "$SBUILD" fails.yaml --progress plain
check_equal "says what it said once" 1 "$(grep -c '[ |]once$' said)"
