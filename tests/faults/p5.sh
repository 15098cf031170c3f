# A path that exists as it is written is that path, whatever it would match; "?" is one character.
. tests/faults/lib.sh
mkdir -p 'ctx/app/[id]' ctx/app/i
echo right >'ctx/app/[id]/page.tsx'
echo wrong >ctx/app/i/page.tsx
echo accent >ctx/é.txt
copies() { # SOURCE
	printf 'name: app\nfrom: scratch\ncontext: ctx\nlayers: [{name: l, copy: {from: "%s", to: /x/}}]\n' "$1" >app.yaml
	build app >&2 && rm -rf out && tree app:latest out && cat out/x/*
}
check_equal 'app/[id]/page.tsx' right "$(copies 'app/[id]/page.tsx')"
check_equal 'app/[id]/*' right "$(copies 'app/[id]/*')"
check_equal '?.txt' accent "$(copies '?.txt')"
printf 'name: app\nfrom: scratch\ncontext: ctx\nlayers: [{name: l, copy: {from: "none*", to: /x/}}]\n' >app.yaml
check_fails "what matches nothing" 1 "$SBUILD" app.yaml
check "blames no ignore file that isn't there" sh -c '! grep -q ignore said'
