# bash completion for sbuild

# Names of the services of this node.
_sbuild_services() {
	sbuild status --json 2>/dev/null | grep -oE '"name": ?"[^"]*"' | cut -d'"' -f4
}

# Names and tags of the images in the store.
_sbuild_images() {
	sbuild images --json 2>/dev/null | sed 's/},{/}\n{/g' |
		sed -nE 's/.*"name":"([^"]*)","tags":\[([^]]*)\].*/\1 \2/p' | tr -d '"' |
		awk '{ print $1; n = split($2, tag, ","); for (i = 1; i <= n; i++) print $1 ":" tag[i] }'
}

_sbuild() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=build i
	local commands="build plan run bundle lock images inspect ls diff tag push pull index export login logout install rollback status uninstall prune cache" options=""
	COMPREPLY=()

	case $previous in
	--metadata-file | --output | -o | --ca)
		compopt -o default 2>/dev/null
		return
		;;
	--store | --units | --allow)
		compopt -o dirnames 2>/dev/null
		return
		;;
	--progress) COMPREPLY=($(compgen -W "auto tty plain json" -- "$word")) && return ;;
	--format | -f)
		case " ${COMP_WORDS[*]} " in
		*" export "*) COMPREPLY=($(compgen -W "oci-archive docker-archive rootfs" -- "$word")) ;;
		*) COMPREPLY=($(compgen -W "oci docker" -- "$word")) ;;
		esac
		return
		;;
	--network) COMPREPLY=($(compgen -W "none host" -- "$word")) && return ;;
	--compression) COMPREPLY=($(compgen -W "zstd gzip" -- "$word")) && return ;;
	--runtime) COMPREPLY=($(compgen -c -X '!*@(crun|runc)' -- "$word")) && return ;;
	--set | --secret | --env | -e | --workdir | -w | --until | --tag | -t | --version | --jobs | -j | --name | --user | -u | --max-size | --older-than | --keep-images | --platform | --remove | --interval | --cache-from | --cache-to)
		return
		;;
	esac

	for ((i = 1; i < COMP_CWORD; i++)); do
		case " $commands " in *" ${COMP_WORDS[i]} "*) command=${COMP_WORDS[i]} && break ;; esac
	done
	case $command in
	build) options="--tag --push --compression --format --ca --plain-http --explain --until --skip-tests --metadata-file --json --progress --set --secret --platform --allow --version --no-cache --cache-from --cache-to --jobs --runtime --store" ;;
	bundle) options="--push --compression --format --ca --plain-http --output --units --name --tag --skip-tests --metadata-file --json --progress --set --secret --platform --allow --version --no-cache --cache-from --cache-to --jobs --runtime --store" ;;
	plan) options="--json --until --skip-tests --push --tag --ca --plain-http --set --secret --platform --allow --version --no-cache --cache-from --cache-to --jobs --runtime --store" ;;
	run) options="--shell --failed --network --env --user --workdir --progress --ca --plain-http --set --secret --platform --allow --version --no-cache --cache-from --cache-to --jobs --runtime --store" ;;
	lock) options="--update --allow --set --secret --json --ca --plain-http --store" ;;
	images) options="--json --store" ;;
	inspect) options="--json --manifest --config --platform --store" ;;
	ls) options="--recursive --layers --bytes --platform --json --store" ;;
	diff) options="--summary --platform --json --store" ;;
	tag) options="--delete --all-platforms --store" ;;
	push) options="--compression --format --ca --plain-http --platform --create-repository --json --progress --store" ;;
	pull) options="--platform --all-platforms --unpack --ca --plain-http --json --progress --store" ;;
	index) options="--add --remove --compression --format --ca --plain-http --create-repository --json --progress --store" ;;
	export) options="--format --output --name --platform --store" ;;
	login) options="--user --password-stdin --ca --plain-http" ;;
	install) options="--name --platform --wait --auto --interval --no-auto --auto-run --replace --ca --plain-http --json --progress --store" ;;
	rollback) options="--wait --json --store" ;;
	status) options="--recover --driver --json --store" ;;
	uninstall) options="--store" ;;
	prune) options="--max-size --older-than --keep-tagged --keep-images --dry-run --json --store" ;;
	cache) options="--older-than --dry-run --ca --plain-http --json --store" ;;
	esac

	if [[ $word == -* ]]; then
		[[ $COMP_CWORD -gt 1 ]] || options+=" --version"
		COMPREPLY=($(compgen -W "$options --help" -- "$word"))
	elif [[ $command == build || $command == plan || $command == lock ]]; then
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -f -X '!*.@(yaml|yml)' -- "$word") $(compgen -d -- "$word"))
		[[ $COMP_CWORD -gt 1 ]] || COMPREPLY+=($(compgen -W "$commands" -- "$word"))
	elif [[ $command == @(bundle|run) ]]; then
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -f -X '!*.@(yaml|yml)' -- "$word") $(compgen -d -- "$word") $(compgen -W "$(_sbuild_images)" -- "$word"))
	elif [[ $command == @(rollback|status|uninstall) ]]; then
		COMPREPLY=($(compgen -W "$(_sbuild_services)" -- "$word"))
	elif [[ $command == install ]]; then
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -f -- "$word") $(compgen -W "$(_sbuild_images)" -- "$word"))
	elif [[ $command == cache ]]; then
		COMPREPLY=($(compgen -W "ls prune" -- "$word"))
	elif [[ $command != @(login|logout|prune) ]]; then
		[[ $(type -t __ltrim_colon_completions) != function ]] || word=${COMP_LINE:0:COMP_POINT} word=${word##* }
		COMPREPLY=($(compgen -W "$(_sbuild_images)" -- "$word"))
		[[ $(type -t __ltrim_colon_completions) != function ]] || __ltrim_colon_completions "$word"
	fi
}
shopt -q extglob || shopt -s extglob
complete -F _sbuild sbuild
