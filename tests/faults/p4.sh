# Sources with wildcards see the context as its ignore file leaves it: a directory of which a part is taken
# back is one, and what is left of it is copied.
. tests/faults/lib.sh
mkdir -p ctx/src/deep
echo keep >ctx/src/keep.txt
echo no >ctx/src/no.txt
echo d >ctx/src/deep/d.py
echo t >ctx/top.py
printf '*\n!src/keep.txt\n!**/*.py\n' >ctx/.dockerignore
takes() { # SOURCE
	printf 'name: app\nfrom: scratch\ncontext: ctx\nlayers: [{name: l, copy: {from: "%s", to: /x/}}]\n' "$1" >app.yaml
	build app >&2 && rm -rf out && tree app:latest out && (cd out/x && find . -type f | sort | tr '\n' ' ')
}
check_equal 'src/*' './d.py ./keep.txt ' "$(takes 'src/*')"
check_equal 'sr*' './deep/d.py ./keep.txt ' "$(takes 'sr*')"
check_equal '*' './deep/d.py ./keep.txt ./top.py ' "$(takes '*')"
