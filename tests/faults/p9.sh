# A history and passwords that lie in the context don't get into an image without a word.
. tests/faults/lib.sh
mkdir -p ctx/.git ctx/conf
echo ref >ctx/.git/HEAD
echo PASSWORD=1 >ctx/.env
echo PASSWORD=2 >ctx/conf/.env
printf 'name: app\nfrom: scratch\ncontext: ctx\nlayers: [{name: l, copy: {from: ., to: /x/}}]\n' >app.yaml
check "it builds" build app
check "with a warning" has app.out 'warning: .*the image gets .env, .git, conf/.env; .*add to .*/ctx/.dockerignore:$'
check "that says the lines" has app.out '^ *\*\*/\.env$'
check_equal "and once" 1 "$(grep -c 'the image gets' app.out)"
printf '.git\n.env\n**/.env\n' >ctx/.dockerignore
check "with these lines" build app
check "there is none" sh -c '! grep -q warning app.out'
