# fish completion for sbuild

set -l commands build plan run bundle lock images inspect ls diff tag push pull index export login logout install rollback status uninstall prune cache

function __sbuild_images
    sbuild images --json 2>/dev/null | sed 's/},{/}\n{/g' |
        sed -nE 's/.*"name":"([^"]*)","tags":\[([^]]*)\].*/\1 \2/p' | tr -d '"' |
        awk '{ print $1; n = split($2, tag, ","); for (i = 1; i <= n; i++) print $1 ":" tag[i] }'
end

function __sbuild_services
    sbuild status --json 2>/dev/null | grep -oE '"name": ?"[^"]*"' | cut -d'"' -f4
end

function __sbuild_is # COMMAND…: without a command it is a build
    set -l words (commandline -opc)
    if contains -- "$words[2]" build plan run bundle lock images inspect ls diff tag push pull index export login logout install rollback status uninstall prune cache
        contains -- "$words[2]" $argv
    else
        contains -- build $argv
    end
end

complete -c sbuild -n "not __fish_seen_subcommand_from $commands" -f -a "$commands"
complete -c sbuild -l help -s h -d 'Help'
complete -c sbuild -l store -r -d 'The store' -a '(__fish_complete_directories)'

complete -c sbuild -n '__sbuild_is build plan run bundle lock' -a '(__fish_complete_suffix .yaml)'
complete -c sbuild -n '__sbuild_is build plan run bundle lock' -l set -x -d 'Replace a build argument'
complete -c sbuild -n '__sbuild_is build plan run bundle' -l platform -x -a 'linux/amd64 linux/arm64' -d 'Build for this platform'
complete -c sbuild -n '__sbuild_is build plan run bundle lock' -l allow -x -a '(__fish_complete_directories)' -d 'Let recipes read beneath it'
complete -c sbuild -n '__sbuild_is build plan run bundle lock' -l secret -x -d 'A secret for steps that name it'
complete -c sbuild -n '__sbuild_is build plan run bundle' -l version -x -d 'The version'
complete -c sbuild -n '__sbuild_is build plan run bundle' -l no-cache -d 'Build every layer'
complete -c sbuild -n '__sbuild_is build plan run bundle' -l cache-from -x -d 'Take layers that others built'
complete -c sbuild -n '__sbuild_is build plan run bundle' -l cache-to -x -d 'Put layers that are built into it'
complete -c sbuild -n '__sbuild_is build plan run bundle' -l jobs -s j -x -d 'Threads, recipes at a time'
complete -c sbuild -n '__sbuild_is build plan run bundle' -l runtime -x -a 'crun runc' -d 'OCI runtime'
complete -c sbuild -n '__sbuild_is build plan bundle' -l tag -s t -x -d 'A further tag'
complete -c sbuild -n '__sbuild_is build' -l explain -d 'Say why each layer is built'
complete -c sbuild -n '__sbuild_is run' -l shell -d 'Run a shell'
complete -c sbuild -n '__sbuild_is run' -l failed -d 'Where the step that failed last left off'
complete -c sbuild -n '__sbuild_is run' -l network -x -a 'none host' -d 'Whether it reaches the network'
complete -c sbuild -n '__sbuild_is run' -l env -s e -x -d 'A further variable'
complete -c sbuild -n '__sbuild_is run' -l user -s u -x -d 'Instead of the image''s'
complete -c sbuild -n '__sbuild_is run' -l workdir -s w -x -d 'Instead of the image''s'
complete -c sbuild -n '__sbuild_is build plan bundle' -l skip-tests -d 'Run no test'
complete -c sbuild -n '__sbuild_is build plan' -l until -x -d 'Build no further than this layer'
complete -c sbuild -n '__sbuild_is build bundle' -l metadata-file -r -d 'Write facts as JSON'
complete -c sbuild -n '__sbuild_is build plan bundle' -l push -d 'Push the image'
complete -c sbuild -n '__sbuild_is bundle' -l output -s o -r -d 'Archive'
complete -c sbuild -n '__sbuild_is bundle' -l units -r -a '(__fish_complete_directories)' -d 'Write units for review'
complete -c sbuild -n '__sbuild_is bundle install' -l name -x -d 'Of the service'
complete -c sbuild -n '__sbuild_is build bundle push index' -l compression -x -a 'zstd gzip' -d 'Of layers'
complete -c sbuild -n '__sbuild_is push index' -l create-repository -d 'In ECR, when it is missing'
complete -c sbuild -n '__sbuild_is build bundle push index' -l format -x -a 'oci docker' -d 'Of the manifest'
complete -c sbuild -n '__sbuild_is build plan run bundle lock push pull index login install cache' -l ca -r -d 'Trust these authorities as well'
complete -c sbuild -n '__sbuild_is build plan run bundle lock push pull index login install cache' -l plain-http -d 'Speak HTTP without TLS'
complete -c sbuild -n '__sbuild_is inspect ls diff push pull export install' -l platform -x -a 'linux/amd64 linux/arm64' -d 'Of an index'
complete -c sbuild -n '__sbuild_is pull tag' -l all-platforms -d 'The whole index'
complete -c sbuild -n '__sbuild_is index' -l add -d 'Into the index that is there'
complete -c sbuild -n '__sbuild_is index' -l remove -x -a 'linux/amd64 linux/arm64' -d 'Take the image out'
complete -c sbuild -n '__sbuild_is pull' -l unpack -d 'Unpack the layers as well'
complete -c sbuild -n '__sbuild_is build run bundle push pull index install' -l progress -x -a 'auto tty plain json' -d 'How progress is shown'
complete -c sbuild -n '__sbuild_is lock' -l update -d 'Move it to what the names are now'
complete -c sbuild -n '__sbuild_is build plan bundle lock images inspect ls diff push pull index install rollback status prune cache' -l json -d 'Facts as JSON'

complete -c sbuild -n '__sbuild_is run bundle images inspect ls diff tag push pull index export' -f -a '(__sbuild_images)'
complete -c sbuild -n '__sbuild_is inspect' -l manifest -d 'The manifest'
complete -c sbuild -n '__sbuild_is inspect' -l config -d 'The image config'
complete -c sbuild -n '__sbuild_is ls' -l recursive -s R -d 'Everything below'
complete -c sbuild -n '__sbuild_is ls' -l layers -s l -d 'The layer of each file'
complete -c sbuild -n '__sbuild_is ls' -l bytes -s b -d 'Sizes in bytes'
complete -c sbuild -n '__sbuild_is diff' -l summary -s s -d 'A line for each directory'
complete -c sbuild -n '__sbuild_is tag' -l delete -s d -d 'Take the names away'
complete -c sbuild -n '__sbuild_is export' -l format -s f -x -a 'oci-archive docker-archive rootfs' -d 'Format'
complete -c sbuild -n '__sbuild_is export' -l output -s o -r -d 'File'
complete -c sbuild -n '__sbuild_is export' -l name -x -d 'Name in the archive'
complete -c sbuild -n '__sbuild_is login logout' -f
complete -c sbuild -n '__sbuild_is login' -l user -s u -x -d 'The user'
complete -c sbuild -n '__sbuild_is login' -l password-stdin -d 'Read the password from standard input'
complete -c sbuild -n '__sbuild_is install rollback' -l wait -x -d 'How long it may take to become healthy'
complete -c sbuild -n '__sbuild_is install' -l auto -d 'Follow the tag'
complete -c sbuild -n '__sbuild_is install' -l no-auto -d 'Follow it no longer'
complete -c sbuild -n '__sbuild_is install' -l auto-run -d 'What the timer runs'
complete -c sbuild -n '__sbuild_is install' -l replace -d 'Give it the name that another repository has'
complete -c sbuild -n '__sbuild_is install' -l interval -x -d 'How often the tag is asked for'
complete -c sbuild -n '__sbuild_is status' -l recover -d 'Finish or undo what was interrupted'
complete -c sbuild -n '__sbuild_is status' -l driver -d 'Bring the driver of GPUs into a root'
complete -c sbuild -n '__sbuild_is rollback status uninstall' -f -a '(__sbuild_services)'
complete -c sbuild -n '__sbuild_is install' -a '(__sbuild_images)'
complete -c sbuild -n '__sbuild_is prune' -l max-size -x -d 'Size of the store afterwards'
complete -c sbuild -n '__sbuild_is prune' -l older-than -x -d 'Unused for that long'
complete -c sbuild -n '__sbuild_is prune' -l keep-tagged -d 'Remove no image that has a name'
complete -c sbuild -n '__sbuild_is prune' -l keep-images -x -d 'Of each name keep the last N images'
complete -c sbuild -n '__sbuild_is prune' -l dry-run -s n -d 'Only say what would go'
complete -c sbuild -n '__sbuild_is cache' -f -a 'ls prune'
complete -c sbuild -n '__sbuild_is cache' -l older-than -x -d 'Written that long ago'
complete -c sbuild -n '__sbuild_is cache' -l dry-run -s n -d 'Only say what would go'
