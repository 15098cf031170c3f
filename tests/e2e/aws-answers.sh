#!/bin/sh
# AWS's API, its metadata services, and whoever says that he is them: what no answer may lead to.
. tests/e2e/lib.sh
need python3
CLIENT=${SB_BUILD:-build/release}/tests/unit/remote
case $CLIENT in /*) ;; *) CLIENT=$TOP/$CLIENT ;; esac
[ -x "$CLIENT" ] || skip_all "$CLIENT is not built"
SBUILD_HTTP=$(dirname "$(readlink -f "$SBUILD")")/sbuild-http
export SBUILD_HTTP
mkdir aws
echo content >aws/file
check "all of them were tried" sh -c '"$1" "$2" "$3" >answers && grep -q "^tried" answers' sh "$TOP/tests/e2e/hostile-aws" "$CLIENT" "$T/aws"
check_equal "no answer hangs, tells a secret, leads elsewhere, or reaches the terminal" "" "$(grep -v '^tried' answers)"

# Where a machine's credentials may be asked for: by what a program that was started with an odd environment has.
cat >registry.py <<'END'
import http.server
class Registry(http.server.BaseHTTPRequestHandler):
    def any(self):
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="ecr"')
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_HEAD = do_POST = do_PUT = any
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
print(server.server_address[1], flush=True)
server.serve_forever()
END
python3 registry.py >port &
for _ in $(seq 100); do [ ! -s port ] || break; sleep 0.05; done
away() { # VARIABLE=VALUE… : it must end with an error, and ask nobody
	env -i PATH="$PATH" HOME="$T/aws" SBUILD_HTTP="$SBUILD_HTTP" SB_ENDPOINT="http://127.0.0.1:$(cat port)" AWS_EC2_METADATA_DISABLED=true "$@" \
		timeout 60 "$CLIENT" 123456789012.dkr.ecr.us-west-2.amazonaws.com team/app put v1 "$T/aws/file"
}
for url in http://evil.example.com/ http://169.254.169.254/ http://127.0.0.1.evil.example.com/ http://localhost.evil.example.com/ \
	http://127.0.0.1@evil.example.com/ 'http://127.0.0.1\\@evil.example.com/' 'http://[::1].evil.example.com/' file:///etc/passwd \
	gopher://127.0.0.1/ http://2852039166/ 'http://[::ffff:169.254.169.254]/' http://169.254.170.2.evil.example.com/; do
	check_fails "credentials of a container at $url" 5 away AWS_CONTAINER_CREDENTIALS_FULL_URI="$url" AWS_CONTAINER_AUTHORIZATION_TOKEN=x
	check "$url is refused" grep -q 'is not allowed\|is not a URL' said
done
for region in us-west-2.evil.example.com/ 'us-west-2#' 'us-west-2 x' '../x' US-WEST-2 '-' "$(printf '%0200d' 0)"; do
	check_fails "the region $region" 5 away AWS_REGION="$region" AWS_ROLE_ARN=arn:aws:iam::123456789012:role/x AWS_WEB_IDENTITY_TOKEN_FILE="$T/aws/file"
	check_said 'is no region of AWS'
done
mkdir -p aws/.aws
printf '[default]\nrole_arn = r\nsource_profile = a\n[profile a]\nrole_arn = r\nsource_profile = default\n' >aws/.aws/config
check_fails "roles that lead to one another" 5 away
check_said 'leads on and on'
