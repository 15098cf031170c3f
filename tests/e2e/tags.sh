#!/bin/sh
# Which tags a build sets and a push moves: every state of a checkout x what the store has x what the
# registry has x one or two that push. The decision itself has its table in tests/unit/release.c.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need git jq docker-registry python3
start_registry main || exit 1
mkdir odd
"$TOP/tests/e2e/tags-proxy" "$REGISTRY" "$T/odd" >proxy.out 2>proxy.err &
registries="$registries $!"
wait_for_line 'listening on' proxy.out
PROXY=127.0.0.1:$(sed 's/listening on //' proxy.out)
export HOME="$T" GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b

cat >app.yaml <<'END'
name: app
from: scratch
args: {WHERE: none}
tags: [semver, git]
image: {repository: "${WHERE}"}
layers: [{name: a, copy: {from: src, to: /}}]
END

# ---- what there is ----

# "TAG DIGEST" of each tag, read from the registry's own files.
tags_of() { # REPOSITORY
	(cd "$T/registry-main/data/docker/registry/v2/repositories/$1/_manifests/tags" 2>/dev/null &&
		for tag in *; do [ ! -e "$tag/current/link" ] || echo "$tag $(cat "$tag/current/link")"; done)
}
names() { # REPOSITORY DIGEST: the tags that name it
	tags_of "$1" | awk -v d="$2" '$2 == d { print $1 }' | sort | tr '\n' ' '
}
of_release() { # the tags of versions among "TAG DIGEST"
	grep -E '^(v[0-9][^ ]*|latest) ' || :
}
digest_of() { # REPOSITORY TAG
	tags_of "$1" | sed -n "s/^$2 //p"
}

# One image for each version that was there before, all in one store.
mkdir seeds
printf 'name: seed\nfrom: scratch\nlayers: [{name: s, copy: {from: seeds, to: /}}]\n' >seed.yaml
for version in 1.2.2 1.2.4 1.3.0 2.0.0 2.0.0-rc.1 another; do
	echo "$version" >seeds/file
	"$SBUILD" seed.yaml --tag "$version" --store "$T/seeded" >/dev/null 2>err
done
seed() { # REPOSITORY IMAGE TAG…
	repository=$1 image=$2
	shift 2
	refs=
	for tag; do refs="$refs $REGISTRY/$repository:$tag"; done
	# shellcheck disable=SC2086 # words are wanted
	"$SBUILD" push "seed:$image" $refs --store "$T/seeded" >/dev/null 2>>seed.err
}
# What the registry has, and which tags version 1.2.3 gets beside it.
#   NAME  IMAGE:TAG,TAG…;…  TAGS
registries_table() {
	cat <<-'END'
		empty        -                                       latest v1 v1.2 v1.2.3
		newer-major  2.0.0:v2.0.0,v2.0,v2,latest             v1 v1.2 v1.2.3
		newer-minor  1.3.0:v1.3.0,v1.3,v1,latest             v1.2 v1.2.3
		newer-patch  1.2.4:v1.2.4,v1.2,v1,latest             v1.2.3
		all-newer    1.2.4:v1.2.4;1.3.0:v1.3.0;2.0.0:v2.0.0  v1.2.3
		newer-rc     2.0.0-rc.1:v2.0.0-rc.1                  latest v1 v1.2 v1.2.3
		older        1.2.2:v1.2.2,v1.2,v1,latest             latest v1 v1.2 v1.2.3
		same         another:v1.2.3,v1.2,v1,latest           latest v1 v1.2 v1.2.3
		other        another:latest,main-abc1234,v9,v9.9.x   latest v1 v1.2 v1.2.3
	END
}
seed_by() { # REPOSITORY IMAGE:TAG,TAG…;…
	[ "$2" != - ] || return 0
	echo "$2" | tr ';' '\n' | while IFS=: read -r image tags; do
		# shellcheck disable=SC2046 # words are wanted
		seed "$1" "$image" $(echo "$tags" | tr ',' ' ')
	done
}

# ---- states of a checkout ----

# Each makes $T/repo/NAME, whose recipe is app.yaml.
#   NAME  WHAT IT IS                 release, or a pattern of the version that is none
states_table() {
	cat <<-'END'
		plain          release
		annotated      release
		packed         release
		detached       release
		branch         release
		worktree       release
		shallow        release
		untracked      release
		ignored        release
		several        release
		candidate      release
		odd-names      release
		odd-config     release
		nested-tag     release
		sha256         release
		reftable       release
		submodule      release
		merged         release
		said           release
		said-dirty     release
		replaced-after 1\.2\.4-dev\.1+g[0-9a-f]*
		dirty          1\.2\.4-dev\.0+g[0-9a-f]*\.dirty
		staged         1\.2\.4-dev\.0+g[0-9a-f]*\.dirty
		deleted        1\.2\.4-dev\.0+g[0-9a-f]*\.dirty
		mode           1\.2\.4-dev\.0+g[0-9a-f]*\.dirty
		assumed        1\.2\.4-dev\.0+g[0-9a-f]*\.dirty
		skipped        1\.2\.4-dev\.0+g[0-9a-f]*\.dirty
		in-submodule   1\.2\.4-dev\.0+g[0-9a-f]*\.dirty
		after          1\.2\.4-dev\.1+g[0-9a-f]*
		after-dirty    1\.2\.4-dev\.1+g[0-9a-f]*\.dirty
		after-branch   1\.2\.4-dev\.1+g[0-9a-f]*
		after-detached 1\.2\.4-dev\.1+g[0-9a-f]*
		after-odd      1\.2\.4-dev\.1+g[0-9a-f]*
		after-rc       1\.2\.4-rc\.1\.dev\.1+g[0-9a-f]*
		after-merge    1\.2\.4-dev\.8+g[0-9a-f]*
		after-older    1\.2\.2-dev\.1+g[0-9a-f]*
		after-shallow  1\.2\.4-dev\.1+g[0-9a-f]*
	END
}
commit() { # TEXT
	echo "$1" >>src/file
	git commit -qam "$1"
}
start_state() { # [git init's OPTION…]
	mkdir -p src
	git init -q -b main "$@" . 2>/dev/null || git init -q -b main .
	cp "$T/app.yaml" .
	printf '*.log\n' >.gitignore
	echo one >src/file
	git add . && git commit -qm one
}
make_state() { # NAME
	mkdir -p "$T/repo/$1"
	cd "$T/repo/$1"
	case $1 in
	sha256) start_state --object-format=sha256 ;;
	reftable) start_state --ref-format=reftable ;;
	*) start_state ;;
	esac
	case $1 in
	annotated) git tag -am release v1.2.3 ;;
	several) git tag v1.2.2 && git tag -am older v1.0.0 && git tag v1.2.3 && git tag v1.2.3-rc.1 && git tag -am x other ;;
	candidate) git tag -am candidate v1.2.3-rc.1 && git tag v1.2.3 ;;
	odd-names) for t in v1.2.3 v1.2.3.4 v2024.01.15 v2.0.0beta1 V3.0.0 3.0.0 v3 v3.0 x/v3.0.0 v3.0.0_b größe v3.0.0-größe 'v3.0.0,x' 'v3.0.0!'; do git tag "$t"; done ;;
	nested-tag) git tag -am inner inner && git tag -am outer v1.2.3 inner ;;
	merged)
		git tag v0.9.0 && git checkout -q -b old && commit old && git tag v0.9.9 && git checkout -q main
		echo more >src/more && git add . && git commit -qm more && git merge -q -m merge old && git tag v1.2.3 ;;
	after-merge)
		git tag v1.0.0 && git checkout -q -b old
		for i in 1 2 3 4; do commit $i; done
		git tag v1.0.1 && git checkout -q main
		echo more >src/more && git add . && git commit -qm more && git tag v1.2.3
		for i in 1 2 3; do echo $i >src/more && git commit -qam $i; done
		git merge -q -m merge old ;;
	after-older) git tag v1.2.3 && commit two && git tag v1.2.1 && commit three ;;
	after-rc) git tag v1.2.4-rc.1 && commit two ;;
	after-odd) git tag v1.2.3 && commit two && git tag v1.2.3.4 && git tag -am x v2024.01.15 && git tag v2.0.0beta1 ;;
	said*) ;;
	submodule | in-submodule)
		git -c protocol.file.allow=always submodule --quiet add "$T/repo/plain" src/sub && git commit -qm sub && git tag v1.2.3 ;;
	*) git tag v1.2.3 ;;
	esac
	case $1 in
	packed) git pack-refs --all --prune && git gc -q ;;
	detached) git checkout -q --detach ;;
	branch) git checkout -q -b 'feature/größe#1' ;;
	worktree) git worktree add -q --detach ../linked && cd ../linked ;;
	shallow) cd .. && rm -rf shallow-clone && git clone -q --depth 1 --branch v1.2.3 "file://$T/repo/shallow" shallow-clone 2>/dev/null && cd shallow-clone ;;
	after-shallow) commit two && cd .. && git clone -q --depth 2 "file://$T/repo/after-shallow" after-shallow-clone && cd after-shallow-clone ;;
	untracked) echo x >new ;;
	ignored) echo x >src/x.log ;;
	odd-config)
		cat >>.git/config <<-'END'
			[core]
				bare = true
				worktree = /nonexistent
				abbrev = 12
				quotePath = false
				ignoreCase = true
				logAllRefUpdates = false
				commitGraph = false
				useReplaceRefs = true
			[tag]
				sort = -taggerdate
				gpgSign = true
			[versionsort]
				suffix = -
			[log]
				showSignature = true
				decorate = no
				excludeDecoration = refs/tags/*
			[transfer]
				hideRefs = refs/tags
			[color]
				ui = always
			[format]
				pretty = oneline
			[column]
				ui = always
		END
		;;
	dirty) echo x >>src/file ;;
	staged) echo x >>src/file && git add . ;;
	deleted) rm src/file && echo x >src/other ;;
	mode) chmod +x src/file ;;
	assumed) git update-index --assume-unchanged src/file && echo x >>src/file ;;
	skipped) git update-index --skip-worktree src/file && echo x >>src/file ;;
	in-submodule) echo x >>src/sub/src/file ;;
	replaced-after) commit two && git replace HEAD HEAD~1 ;;
	after) commit two ;;
	after-dirty) commit two && echo x >>src/file ;;
	after-branch) git checkout -q -b other && commit two ;;
	after-detached) git checkout -q --detach && commit two ;;
	said) sed -i 's/^tags:/version: 1.2.3\ntags:/; s/, git]/]/' app.yaml && rm -rf .git ;;
	said-dirty) git tag v0.1.0 && sed -i 's/^tags:/version: 1.2.3\ntags:/' app.yaml ;;
	esac
}

# ---- the table ----

repositories=$T/registry-main/data/docker/registry/v2/repositories
states_table >states
registries_table >kinds
while read -r kind content _; do seed_by "template-$kind" "$content"; done <kinds
mkdir -p store-empty
cp -r seeded store-newer
"$SBUILD" tag seed:2.0.0 app:v2.0.0 app:v2 app:latest --store "$T/store-newer" >/dev/null 2>&1
check_equal "what was there before could be made" "" "$(cat seed.err | grep -i error || :)"

row() { # STATE VERSION STORE KIND TAGS: in the state's directory
	where=$1/$3-$4
	what="$1, store $3, registry $4"
	rm -rf "$T/store-row"
	cp -r "$T/store-$3" "$T/store-row"
	if [ -d "$repositories/template-$4" ]; then
		mkdir -p "$repositories/$1"
		cp -r "$repositories/template-$4" "$repositories/$where"
	fi
	before=$(tags_of "$where" | of_release)
	status=0
	"$SBUILD" app.yaml --set "WHERE=$REGISTRY/$where" --push --store "$T/store-row" --metadata-file "$T/meta" >"$T/out" 2>"$T/err" || status=$?
	check_equal "$what: it is pushed" 0 "$status"
	[ "$status" = 0 ] || { cat "$T/err" && return 0; }
	digest=$(jq -r .digest "$T/meta")
	if [ "$2" = release ]; then
		check_equal "$what: its tags" "$5" "$(names "$where" "$digest" | tr ' ' '\n' | grep -E '^(v[0-9][^ ]*|latest)$' | tr '\n' ' ' | sed 's/ $//')"
		check_equal "$what: the others are where they were" "$(echo "$before" | drop "$5")" "$(tags_of "$where" | of_release | drop "$5")"
		[ "$4" != same ] || check "$what: what v1.2.3 was is told" has "$T/err" 'v1\.2\.3 named another image until now'
		return 0
	fi
	check_equal "$what: nothing of a release moves" "$before" "$(tags_of "$where" | of_release)"
	check "$what: its version, $2" expr "$(jq -r .version "$T/meta")" : "$2\$"
	names "$where" "$digest" | tr ' ' '\n' >"$T/named"
	check_equal "$what: nothing but tags of git" "" "$(grep -vE '^(([a-z-]+-)?[0-9a-f]{7,64}(-dirty)?)?$' "$T/named" || :)"
	check "$what: which are there" grep -q . "$T/named"
	check "$what: it says so" has "$T/err" 'app: no release: '
}
drop() { # TAGS: all other lines; for each "TAG DIGEST"
	awk -v drop=" $1 " 'NF && index(drop, " " $1 " ") == 0'
}

while read -r state version; do
	make_state "$state" >"$T/made" 2>&1 || {
		cat "$T/made"
		check "the state $state can be made" false
		cd "$T" && continue
	}
	while read -r kind _ tags; do
		case $state-$kind in # all of some, and some of all
		plain-* | dirty-* | after-newer-* | said-older | said-all-newer | *-newer-major | *-empty) row "$state" "$version" empty "$kind" "$tags" ;;
		esac
		case $state-$kind in
		plain-* | after-newer-major | dirty-older | said-empty) row "$state" "$version" newer "$kind" "$tags" ;;
		esac
	done <"$T/kinds"
	cd "$T"
done <states

# ---- what can't be ----

said() { # NAME PATTERN…: a build in this directory fails, and says so
	name=$1
	shift
	check_fails "$name" '[13]' "$SBUILD" app.yaml --store "$T/store-said"
	for pattern; do check_said "$pattern"; done
}
mkdir -p repo/none/src && cd repo/none && cp "$T/app.yaml" .
said "no checkout" 'no git checkout'
git init -q -b main .
said "no commit" 'no commit in this git checkout'
git add . && git commit -qm one
said "no tag" 'no git tag of the form v1.2.3 on this commit'
git tag v1.2.3.4
said "a tag that is no version" 'the tag v1\.2\.3\.4 is no version'
cd "$T"
(cd repo/after && git clone -q --depth 1 "file://$PWD" ../shallow-none)
cd repo/shallow-none
said "a shallow clone" 'shallow' 'git fetch --unshallow --tags'
cd ../after-shallow-clone
check "a shallow clone with a tag" sh -c '"$0" app.yaml --store "$1/store-said" 2>"$1/err"' "$SBUILD" "$T"
check "which may not be the nearest" has "$T/err" 'this checkout is shallow'
cd ../plain
mkdir "$T/nothing"
check_fails "no git program" '[13]' env PATH="$T/nothing" "$SBUILD" app.yaml --store "$T/store-new"
check_said 'asks for semver.* git can.t be asked: the program git is not installed'
cd "$T"

# Several recipes of one checkout.
cp -r repo/plain repo/two && cd repo/two
sed 's/^name: app/name: other/' app.yaml >other.yaml
git add . && git commit -qm two && git tag v1.3.0
check "two recipes" sh -c '"$0" app.yaml other.yaml --push --set "WHERE=$1/two" --store two-store 2>../err' "$SBUILD" "$REGISTRY"
check "each has its names" sh -c 'grep -q "  app:v1.3.0" ../err && grep -q "  other:v1.3.0" ../err'
cd "$T"

# A recipe of dates alone keeps its date, and has no latest.
mkdir -p dates/src && echo x >dates/src/x
sed 's/semver, git/date/' app.yaml >dates/app.yaml
for _ in 1 2; do "$SBUILD" dates/app.yaml --push --set "WHERE=$REGISTRY/dates" >/dev/null 2>err; done
check_equal "dates alone" 1 "$(tags_of dates | grep -Ec '^[0-9]{8}-[0-9]{6} ')"
check_equal "and no latest" "" "$(tags_of dates | of_release)"

# ---- what is told ----

mkdir -p one/src two/src
sed 's/semver, git/semver/' app.yaml | tee one/app.yaml >two/app.yaml
make() { # MACHINE VERSION WHERE [OPTION…]: builds there and pushes; its digest in MACHINE.digest
	machine=$1 version=$2 place=$3
	shift 3
	echo "$machine $version" >"$T/$machine/src/file"
	"$SBUILD" "$T/$machine/app.yaml" --version "$version" --push --set "WHERE=$place" --store "$T/store-$machine" \
		--metadata-file "$T/$machine.json" "$@" >"$T/$machine.digest" 2>"$T/$machine.err"
}
check "a release" make one 2.0.0 "$REGISTRY/told"
check "an older one, whose user wants latest" make two 1.9.9 "$REGISTRY/told" --tag latest
check_equal "has it" "latest v1 v1.9 v1.9.9 " "$(names told "$(cat two.digest)")"
check "a whole name" make two 1.9.8 "$REGISTRY/told" --tag "$REGISTRY/told:v2"
check_equal "is moved, too, and it alone" "v2 " "$(names told "$(cat two.digest)")"
"$SBUILD" tag app:v1.9.8 "$REGISTRY/told:v1.9.8" "$REGISTRY/told:latest" "$REGISTRY/told:mine" --store store-two 2>err
check "names that an image has" sh -c '"$0" push app:v1.9.8 --store store-two 2>err' "$SBUILD"
check "may not move a release's either" has err 'latest stays: v2\.0\.0'
check_equal "but the rest" "mine v1.9.8 v2 " "$(names told "$(cat two.digest)")"
check "a name that is said" "$SBUILD" push app:v1.9.8 "$REGISTRY/told:latest" --store store-two
check_equal "moves" "$(cat two.digest)" "$(digest_of told latest)"

# ---- bundles ----

for machine in one two; do
	printf 'service: {port: 80}\n' >>$machine/app.yaml
	sed -i 's/image: {/image: {cmd: [\/bin\/x], /' $machine/app.yaml
done
bundle() { # MACHINE VERSION
	echo "$1 $2" >"$1/src/file"
	"$SBUILD" bundle "$1/app.yaml" --version "$2" --push --set "WHERE=$REGISTRY/bundles" --store "store-$1" >"$1.digest" 2>"$1.err"
}
check "a bundle" bundle one 2.0.0
check "an older one" bundle two 1.9.9
check_equal "stays behind it" "bundle-v1 bundle-v1.9 bundle-v1.9.9 " "$(names bundles "$(cat two.digest)")"
check_equal "as its image" "bundle-latest bundle-v2 bundle-v2.0 bundle-v2.0.0 " "$(names bundles "$(cat one.digest)")"
check "a higher one" bundle two 2.1.0
check_equal "takes what it may" "bundle-latest bundle-v2 bundle-v2.1 bundle-v2.1.0 " "$(names bundles "$(cat two.digest)")"
check "an image without a bundle" make one 3.0.0 "$REGISTRY/bundles"
check "a bundle below it" bundle two 2.2.0
check_equal "is not the latest" "bundle-v2 bundle-v2.2 bundle-v2.2.0 " "$(names bundles "$(cat two.digest)")"

# ---- requests ----

asked() { # WHERE: what the proxy was asked since, "METHOD KIND" and how often
	grep " /v2/$1/" odd/log | sed -nE 's,^(HEAD|PUT|GET) .*/(manifests|tags)/.*,\1 \2,p' | sort | uniq -c | awk '{ print $1 " " $2 " " $3 }' | tr '\n' ';'
	: >odd/log
}
check "a first push" make one 1.0.0 "$PROXY/plain/requests"
check_equal "puts four tags, reads each before and after, and lists them twice" "2 GET tags;8 HEAD manifests;4 PUT manifests;" "$(asked plain/requests)"
check "the same again" make one 1.0.0 "$PROXY/plain/requests"
check_equal "asks for each" "4 HEAD manifests;" "$(asked plain/requests)"
check "an older one" make two 0.9.0 "$PROXY/plain/requests"
asked plain/requests >/dev/null
check "the same again" make two 0.9.0 "$PROXY/plain/requests"
check_equal "asks for each, and why one is another's" "1 GET tags;4 HEAD manifests;" "$(asked plain/requests)"
check "without a version" "$SBUILD" push app:v1.0.0 "$PROXY/plain/no-version:x" --store store-one
check_equal "as always" "2 HEAD manifests;1 PUT manifests;" "$(asked plain/no-version)"

# ---- registries ----

for way in pages many conditions unmet list-stale; do
	for version in 2.0.0 1.9.9; do
		check "$way: $version" make one $version "$PROXY/$way/app"
	done
	check_equal "$way: 1.9.9 is not the latest" "v1 v1.9 v1.9.9" "$(names $way/app "$(cat one.digest)" | sed 's/ $//')"
	check "$way: 2.0.1" make one 2.0.1 "$PROXY/$way/app"
	check_equal "$way: 2.0.1 is" "latest v2 v2.0 v2.0.1" "$(names $way/app "$(cat one.digest)" | sed 's/ $//')"
done
check_equal "conditions are used" 412 "$(grep -oE '^PUT /v2/unmet/app/manifests/latest [0-9]+' odd/log | grep -o '412' | head -n 1)"
for way in list-405 list-401 list-403 list-unknown list-html list-none list-shy; do
	check "$way: a first release" make one 2.0.0 "$PROXY/$way/app"
	check_equal "$way: takes tags that nothing had" "latest v2 v2.0 v2.0.0 " "$(names $way/app "$(cat one.digest)")"
	check "$way: an older one" make two 1.9.9 "$PROXY/$way/app"
	check_equal "$way: takes no others" "v1 v1.9 v1.9.9 " "$(names $way/app "$(cat two.digest)")"
	check "$way: which is said" has two.err 'warning: .*latest stay where they are: .*--tag'
	check_equal "$way: to programs, too" latest "$(jq -r '.pushed[0].kept[].tag' two.json)"
done
check "a list without end: a release" make one 2.0.0 "$PROXY/endless/app"
check_equal "takes tags that nothing had" "latest v2 v2.0 v2.0.0 " "$(names endless/app "$(cat one.digest)")"
check_fails "a registry that fails" 5 make one 2.0.0 "$PROXY/list-500/app"
check "says what it is about" has one.err 'floating tags of v2\.0\.0'
for way in immutable harbor; do
	check "$way: a first release" make one 1.0.0 "$PROXY/$way/app"
	check_fails "$way: a second one" 5 make one 1.1.0 "$PROXY/$way/app"
	check "$way: all that can't move is named" has one.err 'v1\.1\.0 is there now, but tags are immutable there, and name other images: v1, latest'
	check_equal "$way: the rest is there" "v1.1 v1.1.0 " "$(names $way/app "$(jq -r .digest one.json)")"
	check_fails "$way: the first anew" 5 make two 1.0.0 "$PROXY/$way/app"
	check "$way: its tag is named" has two.err 'the tag v1\.0\.0 is immutable'
done
check "a release" make one 1.0.0 "$REGISTRY/forget-latest/app"
check_fails "a registry that forgets a tag" 6 make one 1.1.0 "$PROXY/forget-latest/app"
check "which is said" has one.err 'does not name it latest now'

# ---- two at once ----

# Every floating tag names what the highest version of its range does.
consistent() { # REPOSITORY
	tags_of "$1" | python3 -c '
import re, sys
tags = dict(line.split() for line in sys.stdin)
tags or sys.exit("there are none")
releases = {tuple(map(int, m.groups())): t for t in tags if (m := re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)", t))}
for tag, digest in tags.items():
    m = re.fullmatch(r"v(\d+)(?:\.(\d+))?|latest", tag)
    if m:
        part = tuple(int(x) for x in m.groups() if x)
        best = releases[max(v for v in releases if v[: len(part)] == part)]
        if tags[best] != digest:
            sys.exit(f"{tag} is not {best}: {tags}")
'
}
# The second pushes while the first one does: in the middle of it.
for moment in before-v1.0.0 after-v1.0.0 before-v1.0 after-v1 before-latest after-latest; do
	for other in 1.0.0 1.0.1 2.0.0 0.9.0; do
		where=$moment/over-$other
		printf '#!/bin/sh\n. %s/hook.env\nmake two %s "%s/$1"\n' "$T" "$other" "$REGISTRY" >odd/hook
		chmod +x odd/hook
		[ -e hook.env ] || {
			printf 'SBUILD=%s T=%s\nexport SBUILD_PATIENCE=2s\n' "$SBUILD" "$T"
			sed -n '/^make() {/,/^}/p' "$TOP/tests/e2e/tags.sh"
		} >hook.env
		check "$moment $other: the first" make one 1.0.0 "$PROXY/$where"
		check "$moment $other: the second" has two.digest sha256
		check "$moment $other: all agree" consistent "$where"
		case $other in
		1.0.0) last=$(digest_of "$where" v1.0.0) ;;
		*) check_equal "$moment $other: both versions are there" "$(cat one.digest) $(cat two.digest)" "$(digest_of "$where" v1.0.0) $(digest_of "$where" v$other)" ;;
		esac
		if [ $other = 1.0.0 ] && [ "$last" = "$(cat two.digest)" ]; then
			check_equal "$moment $other: all that was overtaken is named" 4 "$(grep -c 'warning.*names another image' one.err)"
			check_equal "$moment $other: to programs, too" "v1.0.0 v1.0 v1 latest" "$(jq -r '.pushed[0].overtaken | join(" ")' one.json)"
		fi
	done
done
# At once, as it comes.
for round in 1 2; do
	for pair in '1.0.0 1.0.0' '1.0.0 1.0.1' '2.0.0 1.9.9'; do
		where=at-once/$round-$(echo "$pair" | tr ' ' -)
		make one "${pair% *}" "$REGISTRY/$where" &
		first=$!
		make two "${pair#* }" "$REGISTRY/$where" &
		check "$pair at once: the second" wait $!
		check "$pair at once: the first" wait $first
		check "$pair at once: all agree" consistent "$where"
	done
done
check_equal "the proxy has not failed itself" "" "$(grep -v 'Broken pipe\|reset by peer' proxy.err | grep Error || :)"
