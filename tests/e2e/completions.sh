#!/bin/sh
# Words that shells complete: each in the shell itself, with the file that is installed for it.
. tests/e2e/lib.sh
mkdir scorer bin
echo x >scorer/x
printf 'name: scorer\nfrom: scratch\nlayers: [{name: a, copy: {from: scorer, to: /}}]\n' >scorer.yaml
"$SBUILD" scorer.yaml >out 2>&1 || cat out
ln -s "$SBUILD" bin/sbuild
PATH=$T/bin:$PATH
# As they are installed, without what would be compiled for that.
make -C "$TOP" --no-print-directory -n install DESTDIR="$T/root" PREFIX=/usr/local | grep 'install .* cli/completions/' >install.sh
check "the files are installed" sh -c 'cd "$1" && sh -e "$2/install.sh" && test -e "$2/root/usr/local/share/zsh/site-functions/_sbuild"' sh "$TOP" "$T"
SHARE=$T/root/usr/local/share

in_bash() { # WORD… (the last is being written)
	bash --norc -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; _sbuild; printf "%s\n" "${COMPREPLY[@]}"' \
		"$SHARE/bash-completion/completions/sbuild" "$@" 2>bash.err | sort -u | paste -sd ' '
}
in_fish() { # LINE, as it is found there
	HOME=$T fish --no-config -c 'set -e XDG_DATA_DIRS; set fish_complete_path $argv[1]; complete -C $argv[2]' \
		"$T/root/etc/fish/completions" "$1" 2>fish.err | cut -f 1 | sort -u | paste -sd ' '
}
cat >zsh.zsh <<'END'
zmodload zsh/zpty
zpty shell "cd $PWD; TERM=dumb zsh -f -i"
zpty -w shell "PS1=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; unsetopt zle_bracketed_paste; zstyle ':completion:*' list-prompt ''; bindkey '^I' complete-word; echo rea''dy"
zpty -r -m shell line '*ready*'
zpty -n -w shell "$2"$'\t'
sleep 1
zpty -n -w shell $'\C-A: <\C-E>\n'
zpty -r -m shell line '*<*>*'
print -r -- ${${line##*<}%%>*}
END
in_zsh() { # LINE: what it becomes
	zsh -f zsh.zsh "$SHARE/zsh/site-functions" "$1" 2>zsh.err | tr -d '\r' | sed 's/ *$//'
}

if command -v bash >/dev/null; then
	check_equal "bash: images" "scorer scorer:latest" "$(in_bash sbuild inspect sco)"
	check_equal "bash: commands" "index inspect install" "$(in_bash sbuild in)"
	check_equal "bash: recipes" scorer.yaml "$(in_bash sbuild build scorer.)"
	check_equal "bash: options" --summary "$(in_bash sbuild diff --su)"
fi
if command -v fish >/dev/null; then
	check_equal "fish: images" "scorer scorer:latest" "$(in_fish 'sbuild inspect sco')"
	check_equal "fish: options" --summary "$(in_fish 'sbuild diff --su')"
else
	skip "fish is not installed"
fi
if command -v zsh >/dev/null; then
	check_equal "zsh: images" "sbuild inspect scorer" "$(in_zsh 'sbuild inspect sco')"
	check_equal "zsh: the second" "sbuild diff a scorer" "$(in_zsh 'sbuild diff a sco')"
	check_equal "zsh: recipes" "sbuild build scorer.yaml" "$(in_zsh 'sbuild build scorer.')"
	check_equal "zsh: recipes, without a verb" "sbuild scorer.yaml" "$(in_zsh 'sbuild scorer.')"
	check_equal "zsh: options" "sbuild diff --summary" "$(in_zsh 'sbuild diff --su')"
else
	skip "zsh is not installed"
fi
