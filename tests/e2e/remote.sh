#!/bin/sh
# registry/remote against docker-registry, and against answers that no registry should give: what no
# command of sbuild uses yet, or can't show. The client is tests/unit/remote with arguments.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/registry.lib"
need docker-registry python3 curl jq
CLIENT=${SB_BUILD:-build/release}/tests/unit/remote
case $CLIENT in /*) ;; *) CLIENT=$TOP/$CLIENT ;; esac
[ -x "$CLIENT" ] || (cd "$TOP" && make "${CLIENT#"$TOP"/}" >"$T/err" 2>&1)
SBUILD_HTTP=$(dirname "$(readlink -f "$SBUILD")")/sbuild-http
export SBUILD_HTTP SBUILD_RETRY_BASE_MS=5 SBUILD_STALL_SECONDS=2 SBUILD_UPLOAD_CHUNK=262144

start_registry main
mkdir answers
start_proxy --answers "$T/answers"

client() { # REPOSITORY COMMAND…
	"$CLIENT" "$REGISTRY" "$@" 2>err
}
same() { # DIRECTORY: holds what was pushed
	for file in big small empty; do
		cmp "$file" "$1/$(sha256sum <$file | cut -c1-64)" || return 1
	done
}

# ---- manifests, blobs, tags

head -c 900000 /dev/urandom >big
head -c 1000 /dev/urandom >small
: >empty
digest=$(client app put v1 big small empty)
check_equal "the tag names what was put" "$digest" "$(client app head v1)"
check_equal "so does its digest" "$digest" "$(client app head "$digest")"
mkdir got
check_equal "it is got back" "$digest" "$(client app get v1 got)"
check "with all blobs" same got
client app put v2 small >second
check_equal "both are tags" "v1 v2" "$(client app tags 10 | tr '\n' ' ' | sed 's/ $//')"
check_fails "more tags than allowed" 5 "$CLIENT" "$REGISTRY" app tags 1
check_said 'more than 1 tags'
check_equal "a tag that is not there" missing "$(client app head v9)"
check_fails "a manifest that is not there" 5 "$CLIENT" "$REGISTRY" app get v9 got
check_said "registry $REGISTRY: repository app: GET manifest v9: MANIFEST_UNKNOWN"
check_fails "a repository that is not there" 5 "$CLIENT" "$REGISTRY" nothing tags 10
check_equal "deleting" deleted "$(client app delete "$(cat second)")"
check_equal "deleted" missing "$(client app head v2)"
check_equal "deleting it again" missing "$(client app delete "$(cat second)")"

check_equal "a mount" mounted "$(client other mount app big)"
check_equal "a mount from a repository that lacks it" session "$(client third mount nothing small)"

# ---- referrers: docker-registry 2 has no API for them

first=$(client app refer v1 application/vnd.test.one+json)
other=$(client app refer v1 application/vnd.test.two)
check_equal "referrers by the fallback tag" \
	"$first application/vnd.test.one+json $other application/vnd.test.two" \
	"$(client app referrers v1 | tr '\n' ' ' | sed 's/ $//')"
check_equal "filtered" "$other application/vnd.test.two" "$(client app referrers v1 application/vnd.test.two)"
check_equal "and stands at the tag" "$(client app referrers v1 | wc -l)" \
	"$(curl -s "http://$REGISTRY/v2/app/manifests/sha256-${digest#sha256:}" -H 'Accept: application/vnd.oci.image.index.v1+json' |
		jq '.manifests | length')"

# ---- mirrors

client image/app put v1 big small empty >mirrored # what mirrors have: fault/pull is "image" there
mirrored() { # SCENARIO
	mkdir -p "got-$1"
	SB_MIRROR=http://$PROXY/fault/pull/$1/0x "$CLIENT" "$REGISTRY" app get v1 "got-$1" >out 2>err
}
registry_log main | wc -l >before
check "through a mirror" mirrored none
check "whole" same got-none
asked() { registry_log main | sed "1,$(cat before)d" | grep -c '"GET /v2/app/'; }
check_equal "the registry itself is not asked" 0 "$(asked)"
for scenario in drop 500 truncate short long encoded redirect-file; do
	check "a mirror that does $scenario" mirrored $scenario
	check "$scenario: whole" same got-$scenario
done
check "its manifests are checked" test "$(asked)" -gt 0
check_fails "a mirror whose blobs are wrong" 6 env SB_MIRROR="http://$PROXY/fault/pull/corrupt-large/0x" \
	"$CLIENT" "$REGISTRY" app get v1 got
check_said 'came from the mirror'
check "a mirror that is not there" env SB_MIRROR=http://127.0.0.1:1 "$CLIENT" "$REGISTRY" app get v1 got

# ---- answers that no registry should give

answer() { # NAME STATUS [HEADER…]; the body from standard input
	file=answers/$1 status=$2
	shift 2
	{
		printf 'HTTP/1.1 %s X\nConnection: close\n' "$status"
		[ $# = 0 ] || printf '%s\n' "$@"
		printf '\n'
		cat
	} >"$file.new"
	mv "$file.new" "$file"
}
ask() { # NAME COMMAND…
	name=$1
	shift
	"$CLIENT" "$PROXY" "fault/answer/$name/0" "$@"
}
refuses() { # NAME STATUS PATTERN COMMAND…
	name=$1 wanted=$2 pattern=$3
	shift 3
	check_fails "$name" "$wanted" ask "$name" "$@"
	check_said "$pattern"
	check_said "registry $PROXY: repository fault/answer/$name/0: "
}
oci='Content-Type: application/vnd.oci.image.manifest.v1+json'
index='Content-Type: application/vnd.oci.image.index.v1+json'
descriptor='{"mediaType":"application/vnd.oci.image.config.v1+json","size":1,"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}'

echo '{"schemaVersion":1,"fsLayers":[]}' | answer schema1 200 'Content-Type: application/vnd.docker.distribution.manifest.v1+prettyjws'
refuses schema1 5 'schema 1' get v1 got
echo "{\"schemaVersion\":2,\"config\":$descriptor,\"layers\":[],\"manifests\":[]}" | answer both 200 "$oci"
refuses both 6 'both an index and a manifest' get v1 got
echo "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}" | answer both-index 200 "$index"
refuses both-index 6 'both an index and a manifest' get v1 got
echo '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}' | answer confused 200 "$oci"
refuses confused 6 'it itself says' get v1 got
echo 'hello' | answer text 200 'Content-Type: text/html'
refuses text 5 'not JSON' get v1 got
echo "{\"schemaVersion\":2,\"config\":$descriptor,\"layers\":[]}" | answer other 200 "$oci"
refuses other 6 'has the digest' get sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 got
printf '{"errors":[{"code":"DENIED","message":"%s\\u001b[31m"}]}' "$(head -c 3000 /dev/zero | tr '\0' a)" | answer denied 403
refuses denied 5 'DENIED: aaaa' get v1 got
check "no control characters reach the terminal" sh -c '! grep -q "$(printf "\033")" said'
check "and not more than a few lines" test "$(wc -c <said)" -lt 1500

printf '{"name":"x","tags":["c","-bad","d"]}' | answer page2 200
printf '{"name":"x","tags":["a","b"]}' | answer pages 200 'Link: </v2/fault/answer/page2/0/tags/list?n=2>; rel="next"'
check_equal "tags over two pages" "a b c d" "$(ask pages tags 10 2>err | tr '\n' ' ' | sed 's/ $//')"
printf '{"tags":null}' | answer none 200
check_equal "no tags" "" "$(ask none tags 10 2>err)"
printf '{"tags":[]}' | answer loop 200 'Link: <?again>; rel="next"'
refuses loop 5 'does not end' tags 10
printf '{"tags":["a"]}' | answer loop-full 200 'Link: <?again>; rel="next"'
refuses loop-full 5 'does not end|more than 10' tags 10
printf '{"tags":["a"]}' | answer elsewhere 200 'Link: <http://169.254.169.254/>; rel="next"'
refuses elsewhere 5 'not safe' tags 10
printf '{"tags":{"a":1}}' | answer object 200
refuses object 5 'no "tags"' tags 10
head -c 9000000 /dev/zero | answer endless 200
refuses endless 5 . tags 10

# Uploads are not led to where the registry is not.
for place in http://169.254.169.254/x http://127.0.0.1:1/x file:///tmp/x; do
	: | answer location 202 "Location: $place" 'Content-Length: 0'
	check_fails "an upload to $place" 5 ask location mount app small
	check_said 'not safe|not a web address'
done
: | answer nowhere 202 'Content-Length: 0'
check_fails "an upload to nowhere" 5 ask nowhere mount app small
check_equal "the proxy has not failed itself" "" "$(cat proxy.err)"
