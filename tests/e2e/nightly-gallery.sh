#!/bin/sh
# Builds the recipes of recipes/gallery, or those named, and with buildah the Dockerfile beside each, on the
# same bases. The trees must be equal but for what trees-equal.py knows a reason for; after a change of one line
# sbuild may not be behind, and where something is compiled or bundled not more than 2 s above what that alone
# takes. Prints a table in Markdown. About half an hour; what it fetches is about 500 MB.
#
#   make gallery CASES="a b"         some of them; the table is $SB_BUILD/gallery.md, too
#   GALLERY_STORE=DIR                a store that has the bases already
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
. "$TOP/tests/e2e/gallery.lib"
need_root
need python3 jq
need_peer buildah podman
[ $# -gt 0 ] || set -- $GALLERY
gallery_begin
[ -z "${GALLERY_STORE:-}" ] || cp -al "$GALLERY_STORE" store

now() { date +%s%N; }
seconds() { # BEGIN-NS END-NS
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", (b - a) / 1e9 }'
}
at_most() { # A B
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a <= b) }'
}
timed() { # LOG COMMAND…: sets $took
	timed_log=$1
	shift
	timed_begin=$(now)
	"$@" >"$timed_log" 2>&1 || { tail -n 30 "$timed_log" && return 1; }
	took=$(seconds "$timed_begin" "$(now)")
}

# ---- the two builders ----

sbuild_build() { # NAME [OPTION…]: Dockerfiles have no tests
	options=
	[ "$1" != inference-worker ] || options="--secret id=hub_token,src=hub_token --set HUB=$hub"
	"$SBUILD" "gallery/$1/recipe.yaml" --progress plain $options "${2:---skip-tests}"
}
buildah_build() { # NAME
	# TMPDIR: what its cache mounts hold is to be this run's.
	TMPDIR="$T/caches" SSL_CERT_FILE="$T/authorities.pem" peer_buildah bud --layers --runtime runc --network host $LIMITS -v "$T/authorities.pem:/run/authorities.pem:ro" \
		--secret "id=hub_token,src=$T/hub_token" --build-arg "HUB=$hub" -t "localhost/made/$1" "gallery/$1"
}
sbuild_size() { # NAME: MB
	"$SBUILD" inspect "$1" --manifest | jq '[.layers[].size] | add / 1e6 * 10 | round / 10'
}
buildah_size() { # NAME: MB
	peer_buildah push -q --compression-format zstd "localhost/made/$1" "oci:pushed:$1" >/dev/null 2>&1
	manifest=$(jq -r '.manifests[-1].digest' pushed/index.json)
	jq '[.layers[].size] | add / 1e6 * 10 | round / 10' "pushed/blobs/sha256/${manifest#sha256:}"
	rm -rf pushed
}
lines() { # FILE: without comments and empty lines
	grep -Evc '^ *(#|$)' "$1"
}

# Who compiles says how long it took by itself.
instrument() { # NAME
	[ -n "$command" ] || return 0
	python3 - "$command" "gallery/$1/recipe.yaml" "gallery/$1/Dockerfile" <<-'END'
		import sys
		command, *files = sys.argv[1:]
		for file in files:
		    text = open(file).read()
		    assert text.count(command) == 1, f"{file} has not one {command}"
		    open(file, "w").write(text.replace(command, f"t=$(date +%s%N) && {command} && echo alone=$((($(date +%s%N) - t) / 1000000))"))
	END
}
alone() { # LOG: seconds
	sed -nE 's/.*alone=([0-9]+).*/\1/p' "$1" | tail -n 1 | awk '{ printf "%.1f", $1 / 1000 }'
}

# ---- what both need ----

# Where the network opens TLS, programs are told whom to believe: sbuild's by its settings, buildah's by their bases.
cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" authorities.pem
believing=
for variable in SSL_CERT_FILE REQUESTS_CA_BUNDLE PIP_CERT NODE_EXTRA_CA_CERTS CARGO_HTTP_CAINFO; do
	believing="$believing --env $variable=/run/authorities.pem"
done
# A hub that wants a token.
echo alpha beta gamma >vocabulary
echo token-of-a-test >hub_token
mkdir caches
port=$(free_port)
hub=http://127.0.0.1:$port
python3 - "$port" <<-'END' &
	import http.server, sys
	class Hub(http.server.BaseHTTPRequestHandler):
	    def do_GET(self):
	        right = self.headers.get("Authorization") == "Bearer token-of-a-test"
	        self.send_response(200 if right else 401)
	        self.end_headers()
	        self.wfile.write(open("vocabulary", "rb").read() if right else b"")
	    def log_message(self, *args): pass
	http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hub).serve_forever()
END

for name; do sed -nE 's|^FROM gallery/([a-z]+).*|\1|p' "gallery/$name/Dockerfile"; done | sort -u >bases
while read -r base; do
	"$SBUILD" "gallery/bases/$base.yaml" --progress plain >base.out 2>&1 || { skip_without_mirror base.out && cat base.out && exit 1; }
	"$SBUILD" export "gallery-$base" -o "$base.tar" >base.out 2>&1 || { cat base.out && exit 1; }
	container=$(peer_buildah from "oci-archive:$base.tar")
	peer_buildah config $believing "$container"
	peer_buildah commit -q --rm "$container" "localhost/gallery/$base" >base.out 2>&1 || { cat base.out && exit 1; }
	rm "$base.tar"
done <bases

# ---- the rows ----

row() { # NAME
	echo "== $1"
	gallery_row "$1"
	instrument "$1"
	timed "$1.first" sbuild_build "$1" || return 1
	first=$took
	timed "$1.their-first" buildah_build "$1" || return 1
	their_first=$took
	change=99999 their_change=99999 own=
	for n in 1 2; do # of two, as other work of this machine is in each
		gallery_change "$1" $n
		timed "$1.change" sbuild_build "$1" || return 1
		! at_most "$took" "$change" || { change=$took && own=$(alone "$1.change"); }
		timed "$1.their-change" buildah_build "$1" || return 1
		! at_most "$took" "$their_change" || their_change=$took
	done
	check "$1: the image's tests pass" sbuild_build "$1" --explain
	"$SBUILD" export "$1" --format rootfs -o ours.tar >export.out 2>&1 || { cat export.out && return 1; }
	container=$(peer_podman create "localhost/made/$1" x) && peer_podman export -o theirs.tar "$container" || return 1
	check "$1: trees are equal, but for what has a reason" python3 "$TOP/tests/e2e/trees-equal.py" ours.tar theirs.tar
	sed 's/^/    /' .check
	rm -f ours.tar theirs.tar
	check "$1: a changed line takes no longer than with buildah ($change s, $their_change s)" at_most "$change" "$their_change"
	[ -z "$command" ] || check "$1: nor more than 2 s beside what compiles ($change s, $own s)" \
		at_most "$change" "$(echo "$own + 2" | bc -l 2>/dev/null || awk -v a="$own" 'BEGIN { print a + 2 }')"
	printf '| %s | %s | %s | %s s | %s s | %s s | %s s | %s | %s MB | %s MB |\n' "[$1]($1)" \
		"$(lines "gallery/$1/recipe.yaml")" "$(lines "gallery/$1/Dockerfile")" "$first" "$their_first" "$change" "$their_change" \
		"${own:+$own s}" "$(sbuild_size "$1")" "$(buildah_size "$1")" >>table
}
cat >table <<'E2'
| | lines: recipe | Dockerfile | first build: sbuild | buildah | one line changed: sbuild | buildah | of that, what compiles | size: sbuild | buildah |
|---|---|---|---|---|---|---|---|---|---|
E2
for name; do row "$name" || check "$name is built" false; done
cat table
cp table "$TOP/${SB_BUILD:-build/release}/gallery.md"
