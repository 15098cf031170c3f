# Every command's help: 80 columns, an example, and every option that the program takes; and each of
# these options in the manual page and in the completions of the three shells. The table of exit
# statuses is the same in the help, the manual page and docs/operations.md.
manual=$TOP/docs/sbuild.1 completions=$TOP/cli/completions
. "$completions/sbuild.bash"

wide() { # counts characters, not bytes
	while IFS= read -r line; do [ ${#line} -le 80 ] || echo "$1: wider than 80: $line"; done
}
section() { # the manual's part about a command, or about all of them
	sed -n "/^\.SS $1\$/,/^\.S/p" "$manual" | sed -E 's/\\f.//g; s/\\//g'
}
block() { # FILE COMMAND: the lines of a completion that are for this command
	case $1 in
	_sbuild)
		sed -n "/^	$2)/,/;;/p" "$completions/$1"
		sed -n '/^	common=/,/)$/p' "$completions/$1"
		case $2 in build | plan | run | bundle) sed -n '/^	request=/,/^	)/p' "$completions/$1" ;; esac
		case $2 in build | plan | run | bundle | lock | push | pull | index | login | install | cache) sed -n '/^	registry=/,/^	)/p' "$completions/$1" ;; esac
		case $2 in build | bundle | push | index) sed -n '/^	push=/,/^	)/p' "$completions/$1" ;; esac
		;;
	*) grep -E "__sbuild_is[a-z ]* $2[ ']|-l (help|store)" "$completions/$1" ;;
	esac
}
taken() { # the options in the command's table, those of the macros that it uses included
	text=$(cat "$TOP/cli/$1.c")
	for _ in 1 2 3; do # macros use macros
		for macro in $(echo "$text" | grep -oE 'SB_[A-Z_]*OPTIONS\(' | sort -u); do
			text=$text$(sed -n "/^#define $macro/,/[^\\\\]\$/p" "$TOP"/cli/*.h)
		done
	done
	echo "$text" | grep -oE '\.name = "[a-z-]+", *(\.letter = ..., *)?\.(text|flag|list|given)' | cut -d'"' -f2 | sort -u
}
words() { # the options that bash completes
	COMP_WORDS=(sbuild "$1" --) COMP_CWORD=2 COMPREPLY=()
	_sbuild 2>/dev/null
	printf '%s\n' "${COMPREPLY[@]}"
}

$SBUILD --help | wide sbuild
for command in $($SBUILD --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
	help=$($SBUILD "$command" --help) || echo "$command: --help fails"
	echo "$help" | wide "$command"
	echo "$help" | sed -n '/^examples:/,$p' | grep -q "^  sbuild " || echo "$command: no example"
	options=$(echo "$help" | sed -n '/^options:/,/^examples:/p' | grep -oE '^ .*' |
		grep -oE '^  (-., )?--[a-z-]+' | grep -oE -e '--[a-z-]+')
	echo "$command:" $options
	taken=$(taken "$command")
	for option in $taken; do
		echo "$options" | grep -qx -e "--$option" || echo "$command: --$option is not in its help"
	done
	for option in $options; do
		echo "$taken json store help" | tr ' ' '\n' | grep -qx -e "${option#--}" ||
			echo "$command: $option is in its help, and it does not take it"
		section "$command" | grep -qE -e "$option([^a-z-]|\$)" || echo "$command: $option is not in the manual"
		words "$command" | grep -qx -e "$option" || echo "$command: $option is not completed by bash"
		block _sbuild "$command" | grep -qE -e "$option[],}[']|$option\[" || echo "$command: $option is not completed by zsh"
		block sbuild.fish "$command" | grep -qE -e "-l ${option#--} " || echo "$command: $option is not completed by fish"
	done
	for option in $(words "$command"); do
		[ "$option" = --help ] || echo "$options" | grep -qx -e "$option" ||
			echo "$command: bash completes $option, which it does not take"
	done
done

echo "exit status:"
$SBUILD --help | sed -n '/^exit status:/,$s/^  \([0-9]\)  /\1 /p' | while read -r status meaning; do
	echo "  $status $meaning"
	grep -qF "| $status | $meaning |" "$TOP/docs/operations.md" || echo "not in docs/operations.md"
	grep -A1 -Fx ".B $status" "$manual" | grep -qFix "$meaning" || echo "not in the manual"
done
