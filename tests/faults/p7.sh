# What Docker's COPY leaves to be found out: a source that is a link to a directory and ends in "/", the
# owner of directories that a copy makes on the way, and what is no file.
. tests/faults/lib.sh
mkdir -p releases/7
echo seven >releases/7/app
ln -s releases/7 current
ln -s /etc outside
ln -s ../.. above
recipe() { printf 'name: app\nfrom: scratch\nlayers: [{name: files, copy: %s}]\n' "$1" >app.yaml; }
recipe '{from: current/, to: /app}'
check "a link that ends in / is the directory" build app
tree app:latest slash
check_equal "with what is in it" seven "$(cat slash/app/app)"
recipe '{from: current, to: /app}'
check "without, it is the link" build app
tree app:latest link
check_equal "which is copied" releases/7 "$(readlink link/app)"
recipe '{from: outside/, to: /app}'
check_fails "a link that leads out of the context" '[13]' "$SBUILD" app.yaml
check_said 'outside'
recipe '{from: above/, to: /app}'
check_fails "another" '[13]' "$SBUILD" app.yaml
recipe '{from: releases, to: /srv/a/b, owner: "7:8"}'
check "what is copied has an owner" build app
check_equal "and so have directories that are made to lead there" 'srv/ 7:8 srv/a/ 7:8 srv/a/b/ 7:8 srv/a/b/7/ 7:8 srv/a/b/7/app 7:8' \
	"$("$SBUILD" ls -R app:latest | awk '{ printf "%s%s %s", n++ ? " " : "", $NF, $2 }')"
mkdir odd && mkfifo odd/fifo
recipe '{from: odd, to: /app}'
check_fails "a FIFO" 1 "$SBUILD" app.yaml
check_said 'odd/fifo'
