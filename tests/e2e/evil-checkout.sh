# A checkout by somebody who wants more than an image: building it runs nothing but git, opens nothing
# outside checkout, store and the system's own files, shows nothing of what its links lead to, and
# never waits. Each attack is traced, as root and as an ordinary user.
. tests/e2e/lib.sh
need_root
need strace git
strace -f -o trace true 2>/dev/null || skip_all "strace can't trace here"
test_user
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@example.org GIT_COMMITTER_NAME=x \
	GIT_COMMITTER_EMAIL=x@example.org HOME="$T/roothome"
mkdir -p "$HOME" victim bin attacks
chmod 777 attacks
secret=do-not-show-this

# What must not be read, and a program that must not run.
printf '%s: %s\n' "$secret" "$secret" >victim/secret
cp victim/secret victim/base.yaml
printf 'name: base\nfrom: scratch\nlayers: [{name: b, copy: {from: secret, to: /}}]\n' >victim/good.yaml
git -c init.defaultBranch=main init -q victim/repo
git -C victim/repo commit -q --allow-empty -m "$secret"
git -C victim/repo tag v9.9.9
cat >bin/evil <<-END
	#!/bin/sh
	touch $T/attacks/ran 2>/dev/null
	cat
END
chmod 755 bin bin/evil
EVIL=$T/bin/evil VICTIM=$T/victim
export EVIL VICTIM

start_checkout() { # NAME: a good one
	dir=$T/attacks/$1
	mkdir -p "$dir/src"
	cd "$dir"
	git -c init.defaultBranch=main init -q .
	cat >app.yaml <<-'END'
		name: evil
		from: scratch
		tags: [git]
		layers: [{name: src, copy: {from: src, to: /src}}]
	END
	echo text >src/file
	git add .
	git commit -qm one
	git tag v1.0.0
}

trace() { # WHO COMMAND…: traced to attacks/trace
	who=$1
	shift
	rm -f "$T/attacks/trace" "$T/attacks/ran"
	if [ "$who" = user ]; then
		as_user -C "$PWD" HOME="$T/home" PATH="$PATH" GIT_CONFIG_NOSYSTEM=1 SBUILD_STORE="$T/home/store" \
			timeout -k 5 30 strace -f -y -s 4096 -e trace=execve,execveat,open,openat,openat2,creat,connect -o "$T/attacks/trace" "$@"
	else
		timeout -k 5 30 strace -f -y -s 4096 -e trace=execve,execveat,open,openat,openat2,creat,connect -o "$T/attacks/trace" "$@"
	fi
}

# Programs that were started, but for sbuild and git; and files that were opened outside.
programs() {
	sed -nE 's/^[0-9]+ +execve(at\([^"]*|\()"([^"]*)".* = 0$/\2/p' "$T/attacks/trace" | sort -u |
		grep -vE "^($SBUILD|$(command -v timeout)|(/usr)?(/local)?(/bin|/lib|/libexec)(/git-core)?/git)\$"
}
opened() { # STORE
	sed -nE 's/.* = [0-9]+<(.*)>$/\1/p' "$T/attacks/trace" | sort -u |
		grep -vE "^($PWD|$1|$HOME|$T/home|/usr|/etc|/lib|/lib64|/bin|/proc|/sys|/dev)(/|$)" | grep -vxE "/|$(dirname "$SBUILD")/.*"
}
reached() {
	grep -E '^[0-9]+ +connect\(.*sa_family=AF_INET' "$T/attacks/trace"
}

judge() { # NAME WHO STORE
	check_equal "$1 ($2): nothing else runs" "" "$(programs)"
	check_equal "$1 ($2): nothing ran" "" "$(ls "$T/attacks/ran" 2>/dev/null)"
	check_equal "$1 ($2): nothing outside is opened" "" "$(opened "$3")"
	check_equal "$1 ($2): nobody is asked" "" "$(reached)"
	check_equal "$1 ($2): nothing is shown" "" "$(grep -e "$secret" -e 'root:' "$T/attacks/said")"
	check "$1 ($2): it ends by itself (status $status)" [ "$status" -lt 120 ]
}

# Makes a checkout by a script, and builds it. WANTED: the exit status, or a pattern.
attack() { # NAME WANTED SCRIPT [ARGUMENT…]
	name=$1 wanted=$2 script=$3
	shift 3
	start_checkout "$name"
	(eval "$script") >"$T/made" 2>&1 || {
		cat "$T/made"
		false
	}
	for who in root user; do
		[ "$who" = root ] || chown -R "$user:" "$dir"
		store=$SBUILD_STORE
		[ "$who" = root ] || store=$T/home/store
		status=0
		trace "$who" "$SBUILD" build app.yaml "$@" >"$T/attacks/said" 2>&1 || status=$?
		judge "$name" "$who" "$store"
		check "$name ($who): status $status, wanted $wanted" expr "$status" : "$wanted\$"
	done
	cd "$T"
	rm -rf "$dir"
}

# ---- the measure: an honest checkout passes, and what is wrong is seen ----

attack honest 0 :
start_checkout caught
chown -R "$user:" .
trace user sh -c 'cat "$0/secret"' "$VICTIM" >/dev/null
check "a program is noticed" has "$T/attacks/trace" execve
check_equal "by its name" "$(command -v cat)" "$(programs | grep -x "$(command -v cat)")"
check_equal "a file is noticed" "$VICTIM/secret" "$(opened "$T/home/store")"
cd "$T"

# ---- settings ----

attack runtime 3 'echo "runtime: $EVIL" >sbuild.yaml
	echo "  - {name: run, run: ./file}" >>app.yaml
	sed -i "s/^layers.*/layers:\n  - {name: src, copy: {from: src, to: \/src}}/" app.yaml'
mkdir -p home/.docker roothome/.docker
printf '{"auths": {"registry.example.com": {"auth": "dTpwYXNzd29yZA=="}}}' | tee home/.docker/config.json >roothome/.docker/config.json
chown -R "$user:" home/.docker
attack registries 3 'echo "registries: {registry.example.com: {endpoint: \"http://127.0.0.1:9\", plain_http: true}}" >sbuild.yaml
	sed -i "s/^from.*/from: {image: registry.example.com\/app:v1}/" app.yaml'
attack cache 3 'echo "cache: {from: 127.0.0.1:9/cache, to: 127.0.0.1:9/cache}" >sbuild.yaml'
attack store 3 'echo "store: ../../victim/store" >sbuild.yaml'
attack trust 3 'printf "trust: [/]\nruntime: $EVIL\n" >sbuild.yaml'
attack settings-link 3 'ln -s "$VICTIM/secret" sbuild.yaml'
attack settings-fifo '[13]' 'mkfifo sbuild.yaml'

# ---- .git ----

attack filters 0 'echo "* filter=evil" >.gitattributes; git add .; git commit -qm two
	git config filter.evil.clean "$EVIL"; git config filter.evil.process "$EVIL"; git config filter.evil.required true
	touch src/file'
attack fsmonitor 0 'git config core.fsmonitor "$EVIL"; touch src/file'
attack fetch 1 'git config core.repositoryFormatVersion 1; git config extensions.partialClone origin
	git config remote.origin.promisor true; git config remote.origin.url ssh://host/x
	git config core.sshCommand "$EVIL"
	t=$(git rev-parse "HEAD^{tree}"); rm -rf ".git/objects/$(echo "$t" | cut -c1-2)"'
attack hooks 0 'mkdir hooks; for h in post-index-change reference-transaction pre-auto-gc; do cp "$EVIL" hooks/$h; done
	cp hooks/* .git/hooks; git config core.hooksPath "$PWD/hooks"; touch src/file'
attack include 0 'printf "[core]\n\tfsmonitor = %s\n[filter \"evil\"]\n\tclean = %s\n" "$EVIL" "$EVIL" >../included
	git config include.path ../../included; git config core.worktree "$VICTIM"; git config core.attributesFile "$VICTIM/secret"
	git config trace2.eventTarget "$PWD/../../victim/traced"; git config alias.status "!$EVIL"; touch src/file'
attack submodule 0 'git -c protocol.file.allow=always submodule --quiet add "$VICTIM/repo" sub; git commit -qm sub
	git -C sub config core.fsmonitor "$EVIL"; git -C sub config filter.evil.clean "$EVIL"; touch src/file'
attack gitdir 1 'rm -rf .git; echo "gitdir: $VICTIM/repo/.git" >.git'
attack git-link 1 'rm -rf .git; ln -s "$VICTIM/repo/.git" .git'
attack commondir 1 'echo "$VICTIM/repo/.git" >.git/commondir'
attack objects 1 'rm -rf .git/objects; ln -s "$VICTIM/repo/.git/objects" .git/objects'
attack alternates 1 'mkdir -p ../heap; echo "$VICTIM" >.git/objects/info/alternates'
for file in HEAD config index packed-refs refs/heads/main shallow info/attributes; do
	attack "git-$(echo $file | tr / -)" 1 "rm -f .git/$file; ln -s \"\$VICTIM/secret\" .git/$file"
	attack "git-fifo-$(echo $file | tr / -)" 1 "rm -f .git/$file; mkfifo .git/$file"
done
attack git-tag 0 'git tag -d v1.0.0; mkfifo .git/refs/tags/v1.0.0; ln -s "$VICTIM/secret" .git/refs/tags/v2.0.0'
attack attributes-fifo 1 'touch -d yesterday src/file; mkfifo src/.gitattributes'

# ---- what a recipe names ----

attack context-root 3 'sed -i "s/^from:/context: \/\nfrom:/" app.yaml'
attack context-up 3 'sed -i "s/^from:/context: ..\/..\/victim\nfrom:/" app.yaml'
attack context-link 3 'ln -s "$VICTIM" there; sed -i "s/^from:/context: there\nfrom:/" app.yaml'
attack base 3 'sed -i "s/^from.*/from: {recipe: ..\/..\/victim\/secret}/" app.yaml'
attack base-good 3 'sed -i "s/^from.*/from: ..\/..\/victim\/good.yaml/" app.yaml'
attack base-link 3 'ln -s "$VICTIM/base.yaml" base.yaml; sed -i "s/^from.*/from: base.yaml/" app.yaml'
attack base-fifo 3 'mkfifo base.yaml; sed -i "s/^from.*/from: base.yaml/" app.yaml'
attack recipe-link 3 'ln -sf "$VICTIM/base.yaml" app.yaml'
attack recipe-fifo 3 'rm app.yaml; mkfifo app.yaml'
attack layout 3 'sed -i "s/^from.*/from: oci:..\/..\/victim/" app.yaml'
attack layout-fifo '[136]' 'mkdir layout; mkfifo layout/index.json; sed -i "s/^from.*/from: oci:layout/" app.yaml'
attack layout-link '[136]' 'mkdir layout; ln -s "$VICTIM/secret" layout/index.json; sed -i "s/^from.*/from: oci:layout/" app.yaml'
attack archive-fifo 3 'mkfifo a.tar; sed -i "s/^from.*/from: oci-archive:a.tar/" app.yaml'
attack lock-link 3 'ln -s "$VICTIM/secret" app.lock; sed -i "s/^from.*/from: {image: 127.0.0.1:9\/app:v1}/" app.yaml'
attack lock-fifo 1 'mkfifo app.lock; sed -i "s/^from.*/from: {image: 127.0.0.1:9\/app:v1}/" app.yaml'
for file in .sbuildignore .dockerignore; do
	attack "ignore-link$file" 1 "ln -s \"\$VICTIM/secret\" $file"
	attack "ignore-fifo$file" 1 "mkfifo $file"
done
attack source-fifo 1 'mkfifo src/fifo'
attack source-link 0 'ln -s "$VICTIM/secret" src/link; ln -s "$VICTIM" src/there'
attack source-through 1 'ln -s "$VICTIM" there; sed -i "s/from: src/from: there\/secret/" app.yaml'
attack requirements 1 'ln -s "$VICTIM" there
	sed -i "s/^layers.*/layers: [{name: p, pip: {requirements: there\/secret}}]/" app.yaml'

# ---- what the person who builds says is done ----

start_checkout allowed
sed -i 's/^from:/context: ..\/..\/victim\nfrom:/; s/from: src/from: secret/' app.yaml
check "--allow lets a recipe read there" "$SBUILD" app.yaml --allow "$VICTIM"
mkdir -p "$HOME/.config/sbuild"
echo "trust: [$T]" >"$HOME/.config/sbuild/config.yaml"
check "and so does trust: of one's own settings" "$SBUILD" app.yaml
printf 'jobs: 1\nstore: %s\n' "$T/other" >sbuild.yaml
check "which believes the project's settings" env -u SBUILD_STORE "$SBUILD" app.yaml
check "all of them" [ -e "$T/other/index.json" ]
rm "$HOME/.config/sbuild/config.yaml"
cd "$T"

# ---- root, and another user's checkout ----

start_checkout stranger
git config core.fsmonitor "$EVIL"
chown -R "$user:" .
touch src/file
status=0
trace root "$SBUILD" build app.yaml >"$T/attacks/said" 2>&1 || status=$?
judge stranger root "$SBUILD_STORE"
check_equal "a stranger's checkout is refused, as git does" 1 "$status"
check "it says how to trust it" has "$T/attacks/said" safe.directory
