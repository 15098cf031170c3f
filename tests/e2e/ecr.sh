#!/bin/sh
# Amazon's registry: a registry on loopback with the password that AWS gives out, and in front of it
# the AWS API by moto, which checks signatures and rights.
. tests/e2e/lib.sh
. "$TOP/tests/e2e/peers.lib"
. "$TOP/tests/e2e/registry.lib"
need docker-registry htpasswd python3 curl
need_aws
CLIENT=${SB_BUILD:-build/release}/tests/unit/remote
case $CLIENT in /*) ;; *) CLIENT=$TOP/$CLIENT ;; esac
[ -x "$CLIENT" ] || skip_all "$CLIENT is not built"
SBUILD_HTTP=$(dirname "$(readlink -f "$SBUILD")")/sbuild-http
export SBUILD_HTTP
cleanup() {
	stop_registries
	[ -z "${machine:-}" ] || kill "$machine" 2>/dev/null || :
	[ -z "${moto:-}" ] || kill "$moto" 2>/dev/null || :
}

# ---- the cloud ----

port=$(free_port)
(exec $SB_PEERS_AWS "$T" moto_server -H 127.0.0.1 -p "$port") >moto.log 2>&1 & # exec: to end it by its id
moto=$!
MOTO=http://127.0.0.1:$port
for _ in $(seq 200); do
	! curl -s -o /dev/null "$MOTO/moto-api/" || break
	sleep 0.1
done
mkdir machine home
echo 43200 >machine/lifetime
: >machine/log
"$TOP/tests/e2e/aws-machine" "$MOTO" "$T/machine" >machine.out 2>machine.err &
machine=$!
wait_for_line 'listening on' machine.out
MACHINE=http://127.0.0.1:$(sed 's/listening on //' machine.out)

# A user who may all, one who may not use ECR, a role, and credentials of that role.
cat >setup.py <<'END'
import boto3, json, sys
at = dict(endpoint_url=sys.argv[1], region_name="us-west-2", aws_access_key_id="x", aws_secret_access_key="x")
iam, sts = boto3.client("iam", **at), boto3.client("sts", **at)
def policy(*actions):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]})
for name, actions in (("ci", ("ecr:*", "sts:*")), ("weak", ("sts:*",)), ("reader", ("ecr:Get*", "ecr:Describe*"))):
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*actions))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    print(key["AccessKeyId"], key["SecretAccessKey"], file=open(name, "w"))
trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
role = iam.create_role(RoleName="push", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
iam.put_role_policy(RoleName="push", PolicyName="p", PolicyDocument=policy("ecr:*"))
session = sts.assume_role(RoleArn=role, RoleSessionName="machine")["Credentials"]
print(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"], sep="\n", file=open("machine/session", "w"))
print(role, file=open("role", "w"))
END
check "moto has users and a role" aws_peer python3 setup.py "$MOTO"
read -r CI_KEY CI_SECRET <ci
read -r WEAK_KEY WEAK_SECRET <weak
read -r READER_KEY READER_SECRET <reader
ROLE=$(cat role)

HOST=123456789012.dkr.ecr.us-west-2.amazonaws.com
htpasswd -Bbn AWS 123456789012-auth-token >passwords
start_registry ecr plain REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_REALM=ecr \
	REGISTRY_AUTH_HTPASSWD_PATH="$T/passwords"
echo content >file

# ---- who asks ----

HOME=$T/home XDG_CACHE_HOME=$T/cache
export HOME XDG_CACHE_HOME
unset DOCKER_CONFIG REGISTRY_AUTH_FILE XDG_RUNTIME_DIR
for name in $(env | sed -n 's/^\(AWS_[A-Z_0-9]*\)=.*/\1/p'); do unset "$name"; done
# VARIABLE=VALUE… : one push, with nothing known but that; its errors are in err
push() {
	env SB_ENDPOINT="http://$REGISTRY" AWS_EC2_METADATA_DISABLED=true AWS_ENDPOINT_URL="$MACHINE" "$@" \
		"$CLIENT" "$HOST" team/app put v1 "$T/file" >out 2>err
}
push_fresh() { rm -rf cache; push "$@"; }
said() { grep -q -- "$@" err || { cat err; return 1; }; }
asked() { grep -c 'GetAuthorizationToken 200' machine/log || :; }
ci="AWS_ACCESS_KEY_ID=$CI_KEY AWS_SECRET_ACCESS_KEY=$CI_SECRET"

# moto takes no unsigned requests once it checks rights: this one first.
echo "web identity token" >web-token
check "a web identity" push_fresh AWS_WEB_IDENTITY_TOKEN_FILE="$T/web-token" AWS_ROLE_ARN="$ROLE"
check_fails "a web identity whose token is missing" 5 push_fresh AWS_WEB_IDENTITY_TOKEN_FILE="$T/no-token" AWS_ROLE_ARN="$ROLE"
check "moto checks signatures and rights from now on" \
	curl -sf -X POST -H 'Content-Type: text/plain' -d 0 "$MOTO/moto-api/reset-auth"

check "keys of the environment" push_fresh $ci
before=$(asked)
check "a second process uses the first one's password" push $ci
check_equal "AWS was not asked again" "$before" "$(asked)"
check_equal "only the owner reads the file" 600 "$(stat -c %a cache/sbuild/ecr-tokens.json)"
check_equal "no key is in it" "" "$(grep -c -e "$CI_KEY" -e "$CI_SECRET" cache/sbuild/ecr-tokens.json | sed 's/^0$//')"

sed 's/"token":"[^"]*"/"token":"QVdTOm9sZA=="/' cache/sbuild/ecr-tokens.json >file.json
install -m 600 file.json cache/sbuild/ecr-tokens.json
check "a password that the registry refuses is replaced" push $ci
check_equal "AWS was asked once more" $((before + 1)) "$(asked)"
check_equal "the old one is gone" 0 "$(grep -c QVdTOm9sZA== cache/sbuild/ecr-tokens.json)"

echo 200 >machine/lifetime
before=$(asked)
check "a password that expires soon" push_fresh $ci
check "a password that expires soon, again" push $ci
check_equal "it isn't kept for the next process" $((before + 2)) "$(asked)"
echo 43200 >machine/lifetime

check_fails "a wrong secret" 5 push_fresh AWS_ACCESS_KEY_ID="$CI_KEY" AWS_SECRET_ACCESS_KEY=wrong-secret
check "the message says who refused what" said "AWS gave no password for ECR (us-west-2, credentials of the environment)"
check_fails "a user without rights" 5 push_fresh AWS_ACCESS_KEY_ID="$WEAK_KEY" AWS_SECRET_ACCESS_KEY="$WEAK_SECRET"
check "the hint names the right" said "right ecr:GetAuthorizationToken"
check_fails "half of a key" 5 push_fresh AWS_ACCESS_KEY_ID="$CI_KEY"

# ---- profiles ----

mkdir home/.aws
cat >home/.aws/credentials <<-END
	[ci]
	aws_access_key_id = $CI_KEY
	aws_secret_access_key = $CI_SECRET
END
cat >home/.aws/config <<-END
	[profile role]
	role_arn = $ROLE
	source_profile = ci
	[profile program]
	credential_process = sh -c "printf '{\"Version\": 1, \"AccessKeyId\": \"%s\", \"SecretAccessKey\": \"%s\"}' \$(cat $T/ci)"
	[profile container]
	role_arn = $ROLE
	credential_source = EcsContainer
	[profile elsewhere]
	aws_access_key_id = $CI_KEY
	aws_secret_access_key = $CI_SECRET
	endpoint_url = $MACHINE
END
check "a profile" push_fresh AWS_PROFILE=ci
check "a role over a profile" push_fresh AWS_PROFILE=role
check "a program" push_fresh AWS_PROFILE=program
check "the profile's endpoint" push_fresh AWS_PROFILE=elsewhere AWS_ENDPOINT_URL=
check "the environment comes before the profile" push_fresh $ci AWS_PROFILE=missing
check_fails "a profile that isn't there" 5 push_fresh AWS_PROFILE=missing
check "the message names it" said 'the AWS profile "missing" is neither in'

# ---- what the machine gives ----

container="AWS_CONTAINER_CREDENTIALS_FULL_URI=$MACHINE/container"
check "a container's credentials" push_fresh "$container" AWS_CONTAINER_AUTHORIZATION_TOKEN="container token"
echo "container token" >container-token
check "its token from a file" push_fresh "$container" AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="$T/container-token"
check_fails "a wrong token" 5 push_fresh "$container" AWS_CONTAINER_AUTHORIZATION_TOKEN=wrong
check "the message says so" said "container's AWS credentials: .* answered with status 403"
instance="AWS_EC2_METADATA_DISABLED=false AWS_EC2_METADATA_SERVICE_ENDPOINT=$MACHINE"
check "an instance's credentials" push_fresh $instance
check_equal "version 2 of the metadata" "PUT /latest/api/token 200" "$(grep /latest/api machine/log | sort -u)"
check "the container's come before the instance's" push_fresh $instance "$container" AWS_CONTAINER_AUTHORIZATION_TOKEN="container token"
start=$(date +%s)
check_fails "no credentials anywhere" 5 push_fresh AWS_EC2_METADATA_DISABLED=false \
	AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:$(free_port)"
check "found out within seconds" [ $(($(date +%s) - start)) -lt 5 ]
for source in environment "web identity" "profile" container "instance metadata"; do
	check "the message names what was tried: $source" said "$source"
done

# ---- docker's files come first ----

mkdir home/.docker
printf '{"auths": {"%s": {"auth": "%s"}}}' "$HOST" "$(printf AWS:123456789012-auth-token | base64)" >home/.docker/config.json
before=$(asked)
check "a password in docker's configuration" push_fresh
check_equal "AWS is not asked then" "$before" "$(asked)"
rm home/.docker/config.json

# ---- repositories ----

create() { # VARIABLE=VALUE… REPOSITORY [OPTION…]
	variables=
	while case $1 in *=*) true ;; *) false ;; esac; do variables="$variables $1"; shift; done
	repository=$1
	shift
	env AWS_EC2_METADATA_DISABLED=true AWS_ENDPOINT_URL="$MACHINE" $variables "$CLIENT" "$HOST" "$repository" create "$@" >out 2>err
}
cat >repositories.py <<'END'
import boto3, json, sys
ecr = boto3.client("ecr", endpoint_url=sys.argv[1], region_name="us-west-2", aws_access_key_id=sys.argv[2], aws_secret_access_key=sys.argv[3])
for one in sorted(ecr.describe_repositories()["repositories"], key=lambda one: one["repositoryName"]):
    try:
        policy = json.loads(ecr.get_lifecycle_policy(repositoryName=one["repositoryName"])["lifecyclePolicyText"])
        keep = policy["rules"][0]["selection"]["countNumber"]
    except ecr.exceptions.LifecyclePolicyNotFoundException:
        keep = "all"
    print(one["repositoryName"], one["imageTagMutability"], one["imageScanningConfiguration"]["scanOnPush"], keep)
END
check "a repository with everything" create $ci team/all scan immutable keep=30
check "a repository with nothing" create $ci team/plain
check "one that exists is left as it is" create $ci team/plain scan immutable keep=5
for i in 1 2 3 4 5 6; do
	create $ci team/race immutable || touch raced &
	pids="${pids:-} $!"
done
wait $pids
check "several at once" [ ! -e raced ]
aws_peer python3 repositories.py "$MOTO" "$CI_KEY" "$CI_SECRET" >repositories 2>&1 || :
check_equal "what AWS has then" "team/all IMMUTABLE True 30
team/plain MUTABLE False all
team/race IMMUTABLE False all" "$(cat repositories)"
reader="AWS_ACCESS_KEY_ID=$READER_KEY AWS_SECRET_ACCESS_KEY=$READER_SECRET"
check "who may not create needs not, when it exists" create $reader team/plain
check_fails "who may not create" 5 create $reader team/new
check "the message says where" said "repository team/new in account 123456789012, region us-west-2: CreateRepository"
check_fails "credentials that are wrong" 5 create AWS_ACCESS_KEY_ID=AKIANOBODY AWS_SECRET_ACCESS_KEY=wrong-secret team/new

# ---- sbuild itself, with a registry that has ECR's ways ----

echo "$REGISTRY" >machine/registry
mkdir -p config/sbuild
echo "registries: {$HOST: {endpoint: \"$MACHINE\"}}" >config/sbuild/config.yaml
export XDG_CONFIG_HOME="$T/config"
recipe() { # REPOSITORY
	cat >recipe.yaml <<-END
		name: app
		from: scratch
		layers: [{name: app, copy: {from: [file, large], to: /app/}}]
		image: {repository: $1}
	END
}
sb() { env AWS_EC2_METADATA_DISABLED=true AWS_ENDPOINT_URL="$MACHINE" $ci "$SBUILD" "$@" >out 2>err; }
head -c 14000000 /dev/urandom >large
export SBUILD_UPLOAD_CHUNK=262144 # ECR wants larger ones
recipe "$HOST/team/missing"
check_fails "a repository that is missing" 5 sb build --push --tag v1 recipe.yaml
check "the message says where it is missing" said "repository team/missing does not exist in account 123456789012, region us-west-2"
check "the hint says how to have it made" said "create: true"
recipe "{name: $HOST/team/service, create: true, immutable_tags: true, lifecycle_keep: 3}"
check "a push makes the repository" sb build --push --tag v1 recipe.yaml
check_equal "chunks as small as ECR takes them, but the last" "201 5242880
201 5242880
201 less" "$(awk '$1 == "PATCH" { print $3, $4 < 5242880 ? "less" : $4 }' machine/log | sort)"
check "the same once more" sb build --push --tag v1 recipe.yaml
echo other >file
check_fails "an immutable tag can't be moved" 5 sb build --push --tag v1 recipe.yaml
check "the message says so" said "the tag v1 is immutable"
check "another tag can" sb build --push --tag v2 recipe.yaml
pushed=$(cat out)
check "pull into another store" sb pull --store "$T/other" "$HOST/team/service:v2"
check_equal "what was pushed" "$pushed" "$(cat out)"
check_fails "an image of the store doesn't go where there is no repository" 5 sb push app "$HOST/team/missing:v1"
check "the hint says how it would" said "sbuild push --create-repository"
check "which makes it" sb push app "$HOST/team/missing:v1" --create-repository

# ---- what ECR does since it creates repositories on push, and mounts

check_fails "an account without a template" 5 sb push app "$HOST/team/template:v1"
check "is told of it" said "a template for creation on push"
: >machine/on-push
check "with a template a push makes the repository" sb push app "$HOST/team/template:v1"
as_reader() { env AWS_EC2_METADATA_DISABLED=true AWS_ENDPOINT_URL="$MACHINE" $reader "$SBUILD" "$@" >out 2>err; }
check "also for who asked for one, and may not create it" as_reader push app "$HOST/team/denied:v1" --create-repository
rm machine/on-push
check_fails "without, that is an error" 5 as_reader push app "$HOST/team/denied2:v1" --create-repository
check "which names the right" said "ecr:CreateRepository"
: >machine/on-push
: >machine/log
check "where there are no mounts, layers are sent" sb push app "$HOST/team/sent:v1"
check "all of them" [ "$(grep -c '^PUT .*uploads' machine/log)" = 2 ]
: >machine/mounts
: >machine/log
check "where there are, they are mounted" sb push app "$HOST/team/mounted:v1"
check_equal "and nothing is sent" 0 "$(grep -c '^PUT .*uploads' machine/log || :)"
check "what was mounted is whole" sb pull --store "$T/mounted" "$HOST/team/mounted:v1"
rm machine/on-push machine/mounts

check_equal "no secret was ever said" "" "$(grep -l -e "$CI_SECRET" -e wrong-secret -e auth-token err out .check cache/sbuild/* 2>/dev/null)"
check_equal "the machine has not failed" "" "$(cat machine.err)"
