# What the documentation tells to type: each command of a fenced block or a code span is one that sbuild has, with options that
# it takes; each make target is in the Makefile, each file that is run is there; each link leads somewhere.
cd "$TOP" || exit
documents="README.md CONTRIBUTING.md docs/*.md docs/after-demo.txt"
found=0

commands() { # FILE: what it tells to type, without what is said of it
	grep -oE '`sbuild [^`]+`' "$1" | tr -d '`'
	case $1 in
	*.txt) grep '^  [a-z]' "$1" | sed 's/^  //' ;;
	*) awk '/^```/ { inside = !inside; plain = $0 == "```"; next } inside && plain' "$1" ;;
	esac | sed -zE 's/\\\n */ /g' | sed -E 's/(   *|	+)[^ ].*//; s/ *#.*//' | tr ';' '\n' | sed 's/^ *//'
}
has_options() { # FILE COMMAND WORD…
	file=$1 command=$2 help=$($SBUILD "$2" --help 2>/dev/null) || {
		echo "$1: there is no sbuild $2"
		return
	}
	shift 2
	for word; do
		case $word in
		--) break ;;
		--*) echo "$help" | grep -qE -e "(^|[ ,])${word%%=*}([ =,[]|\$)" || echo "$file: sbuild $command does not take ${word%%=*}" ;;
		-[a-z]) echo "$help" | grep -qE -e "^  $word, --" || echo "$file: sbuild $command does not take $word" ;;
		esac
	done
}

for file in $documents; do
	while read -r program words; do
		set -f
		set -- $words
		set +f
		case $program in
		sbuild | build/sbuild)
			found=$((found + 1))
			case ${1:-} in *.yaml | RECIPE) set -- build "$@" ;; esac
			has_options "$file" "$@"
			;;
		make)
			for word; do
				case $word in
				'&&') break ;;
				*=* | *\" | build/* | -*) ;;
				*) grep -qE "^(.* )?${word%,}( .*)?:" Makefile || echo "$file: there is no make target $word" ;;
				esac
			done
			;;
		ci/* | tests/* | .ci/*) [ -x "$program" ] || echo "$file: there is no $program" ;;
		esac
	done < <(commands "$file")
	for link in $(grep -oE '\]\([^)# ]+' "$file" | cut -c3-); do
		case $link in
		http*) ;;
		*) [ -e "$(dirname "$file")/$link" ] || echo "$file: the link $link leads nowhere" ;;
		esac
	done
	for section in $(grep -oE '\]\([^) ]*#[^) ]+' "$file" | cut -c3-); do
		target=$(dirname "$file")/${section%%#*}
		[ -n "${section%%#*}" ] || target=$file
		sed -nE 's/^#+ //p' "$target" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-' | grep -qxF -e "${section#*#}" ||
			echo "$file: there is no section ${section#*#} in ${target#./}"
	done
done
[ "$found" -gt 40 ] || echo "only $found commands of sbuild were found"
# Each line of the threat model, and of what stays out of images, names its tests.
for test in $(grep -ohE '\b[uegf]:[a-z_-]+' docs/SECURITY.md docs/operations.md | sort -u); do
	case $test in
	u:*) path=tests/unit/${test#u:}.c ;;
	g:*) path=tests/golden/${test#g:} ;;
	e:*) path=tests/e2e/${test#e:}.sh ;;
	f:*) path=tests/fuzz/fuzz_${test#f:}.c ;;
	esac
	[ -e "$path" ] || echo "docs: there is no test $test"
done
