#!/bin/sh
# What README.md and docs/operations.md tell to type, run as it is written there: the recipe, the commands
# of every day, those with a registry, and a service on a node. Only the registry's name and the port are
# others.
. tests/e2e/node.lib
. "$TOP/tests/e2e/backend.lib"
need mmdebstrap runc
start_registry main
PORT=$(free_port)
mkdir bin here && cd here
ln -s "$SBUILD" "$T/bin/sbuild"
PATH=$T/bin:$PATH

FILE=README.md
block() { # SECTION N: its Nth fenced block
	sed "s/registry\.example\.com/$REGISTRY/g; s/8080/$PORT/g" "$TOP/$FILE" | awk -v section="## $1" -v wanted="$2" '
		/^## / { here = $0 == section }
		here && /^```/ { inside = !inside; n += inside; next }
		here && inside && n == wanted'
}
typed() { # SECTION N [LINE]: runs its commands, or that one, without what is said of them
	block "$1" "$2" | sed -zE 's/\\\n */ /g' | sed -n "${3:-1,$}p" | sed 's/   *[^ ].*//' >commands
	check "$FILE has these: $*" test -s commands
	while read -r command <&3; do
		case $command in
		'sbuild login '*) ;; # asks; tests/e2e/login.sh answers
		curl*) check "$command" sh -c "$command" ;;
		*) check "$command" ${WHERE:-} sh -c "$command" ;;
		esac
	done 3<commands
}

# ---- a first recipe ----

mkdir src
echo 'Hello.' >src/index.html
block 'A first recipe' 1 >greet.yaml
# Packages that were fetched for the demo are not fetched again.
mkdir -p "$SBUILD_STORE/sbuild/caches"
cp -al "$BACKEND_STORE/sbuild/caches/." "$SBUILD_STORE/sbuild/caches/" 2>/dev/null || :
sbuild greet.yaml >out 2>err || skip_without_mirror err
typed 'A first recipe' 2
check_equal "three layers, four tags" "3 v1.0.0 v1.0 v1 latest" "$(sbuild greet.yaml --json |
	jq -r '"\(.layers | length) \(.tags | map(sub(".*:"; "")) | join(" "))"')"
echo 'Hello, again.' >src/index.html
check_equal "after a change it makes one" app "$(sbuild greet.yaml --json |
	jq -r '[.layers[] | select(.cached | not) | .name] | join(" ")')"
sbuild plan greet.yaml >/dev/null 2>&1
typed 'Every day' 1
check_equal "the archive is written" greet.tar "$(ls greet.tar)"

# ---- with a registry ----

typed 'With a registry' 1
check "the image is there" test -n "$(registry_digest team/greet v1.0.0)"

# ---- on a host without containers ----

section='On hosts without containers'
block "$section" 1 >>greet.yaml
typed "$section" 2
check "the units are there to be read" test -s units/greet.service
boot_node one
WHERE=n
typed "$section" 3
check_equal "it answers" 'Hello, again.' "$(curl -s "http://127.0.0.1:$PORT/")"
echo 'Hello, once more.' >src/index.html
WHERE=
typed "$section" 4
sent=$(registry_sent main)
WHERE=n
typed "$section" 5 1
check "a few kilobytes ($(($(registry_sent main) - sent)))" test $(($(registry_sent main) - sent)) -lt 65536
check_equal "the next release answers" 'Hello, once more.' "$(curl -s "http://127.0.0.1:$PORT/")"
typed "$section" 5 2
check_equal "and the one before again" 'Hello, again.' "$(curl -s "http://127.0.0.1:$PORT/")"
typed "$section" 5 3
check_equal "nothing is installed" 0 "$(n sbuild status --json | jq '.services | length')"

# ---- docs/operations.md ----

FILE=docs/operations.md
WHERE=
mkdir service
cp "$(command -v busybox)" service/
release() { # VERSION
	echo "$1" >service/index.html
	cat >backend.yaml <<-END
		name: backend
		version: $1
		from: scratch
		layers: [{name: app, copy: {from: service, to: /app}}]
		image: {repository: $REGISTRY/team/backend, user: "1000:1000", entrypoint: [/app/busybox, httpd, -f, -p, "$PORT", -h, /app]}
		tags: [semver]
		service: {port: $PORT, health: {http: /}}
	END
}
release 1.4.1
check "an earlier release" sbuild bundle backend.yaml --push
release 1.4.2
typed Bundles 1
cp backend.bundle.tar "$(node_root one)/"
check "which is installed" n sbuild install "$REGISTRY/team/backend:v1.4.1"
WHERE="node_run one env -C /"
typed 'On a node' 1
cp backend.yaml app.yaml
WHERE=
typed 'Shared cache' 1
typed 'Caches and pruning' 1
