# A link that is copied twice replaces itself: what it leads to keeps its content.
. tests/faults/lib.sh
need_root
bb
echo content >ctx0
ln -s ctx0 linkS
for mixed in pure mixed; do
	{
		printf 'name: %s\nfrom: bb.yaml\nlayers:\n' $mixed
		i=0
		for from in ctx0 linkS linkS; do
			i=$((i + 1))
			[ $mixed = pure ] && printf '  - {name: l%s, copy: {from: %s, to: /dest/%s}}\n' $i $from $from
			[ $mixed = pure ] || printf '  - {name: l%s, steps: [{run: "true"}, {copy: {from: %s, to: /dest/%s}}]}\n' $i $from $from
		done
	} >$mixed.yaml
	check "$mixed: it is built" build $mixed
	tree $mixed:latest $mixed
	check_equal "$mixed: the file is one" content "$(cat $mixed/dest/ctx0)"
	check "$mixed: not a link" test ! -L $mixed/dest/ctx0
	check_equal "$mixed: the link leads to it" ctx0 "$(readlink $mixed/dest/linkS)"
done
