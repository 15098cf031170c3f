#!/bin/sh
# Where steps start, and what an image's working directory is: made where it is missing, as WORKDIR makes it.
. tests/e2e/lib.sh
need_root
need runc jq
busybox_base
ln -s /srv/real rootfs/linked
ln -s /proc/self/nowhere rootfs/astray
recipe() { # NAME LAYERS IMAGE
	printf 'name: %s\nfrom: base.yaml\nlayers: %s\nimage: %s\n' "$1" "$2" "$3" >"$1.yaml"
}
build() { "$SBUILD" build "$1.yaml" --progress plain >out 2>&1 || { cat out && false; }; }
in_image() { "$SBUILD" export "$1:latest" --format rootfs -o - | tar -tvf - --numeric-owner | sed 's|\./||' | grep -E " $2/?\$" | tr -s ' ' | cut -d' ' -f1,2; }

recipe made '[{name: a, run: "pwd >/here; stat -c %u:%a . >>/here"}]' '{workdir: /srv/deep/app, user: "1000"}'
check "a workdir several directories deep" build made
check_equal "is root's, 0755, whoever the image's user is" "drwxr-xr-x 0/0" "$(in_image made srv/deep/app)"
printf 'name: child\nfrom: made.yaml\nlayers: [{name: a, run: "pwd >/child"}]\n' >child.yaml
check "a recipe that stands on it" build child
check_equal "starts there" /srv/deep/app "$("$SBUILD" export child:latest --format rootfs -o - | tar -xOf - child)"
recipe own '[{name: a, run: {script: "touch mine", workdir: /home/w, user: worker}}]' '{}'
check "a step's own workdir" build own
check_equal "belongs to its user" "drwxr-xr-x 1234/1234" "$(in_image own home/w)"
check_equal "what leads there does not" "drwxr-xr-x 0/0" "$(in_image own home)"
recipe linked '[{name: a, run: "pwd -P >/here; touch x"}]' '{workdir: /linked}'
check "a link that leads to nothing yet" build linked
check_equal "leads to a new directory" "drwxr-xr-x 0/0" "$(in_image linked srv/real)"
recipe file '[{name: a, run: "true"}]' '{workdir: /etc/passwd}'
check_fails "a file" 4 "$SBUILD" build file.yaml
check_said 'the workdir /etc/passwd is not a directory in the root'
recipe home '[{name: a, steps: [{run: "pwd >/first; echo app:x:7:7::/home/app: >>/etc/passwd; mkdir -p /home/app; chown 7:8 /home/app"}, {run: "pwd >/second"}]}]' \
	'{workdir: /home/app, user: app}'
check "a home whose user is still to come" build home
check_equal "is made by who makes the user" "drwxr-xr-x 7/8" "$(in_image home home/app)"
check_equal "until then steps start in /" "/ /home/app" "$("$SBUILD" export home:latest --format rootfs -o - | tar -xOf - first second | paste -sd ' ')"
recipe homes '[{name: a, run: "pwd >/first"}]' '{workdir: /home/worker/x, user: "worker:extra"}'
check "one whose user is there" build homes
check_equal "is made as others are" "drwxr-xr-x 0/0 /home/worker/x" "$(in_image homes home/worker/x) $("$SBUILD" export homes:latest --format rootfs -o - | tar -xOf - first)"
cp out before && sed -i 's/user: "worker:extra"/user: "1234"/' homes.yaml
check "a number has no home" build homes
check "and the key knows" sh -c '! grep -q "cached homes a" out'
ln -s round rootfs/about
ln -s about rootfs/round
recipe round '[{name: a, run: {script: "pwd", workdir: /about/w}}]' '{}'
check_fails "links that lead to one another" 1 "$SBUILD" build round.yaml
check_said 'the workdir: /about/w: too many symbolic links'
check_said 'hint: links of the image lead to one another there'
recipe gone '[{name: a, steps: [{run: "rmdir /w"}, {run: "pwd >/here"}]}]' '{workdir: /w}'
check "a step that removes it" build gone
recipe cached '[{name: a, run: {script: "echo x >>n; pwd >/here", workdir: /work/deep}, cache: [/work]}]' '{}'
check "a workdir in a cache directory" build cached
check_equal "leaves no trace" "" "$(in_image cached 'work.*')"
recipe proc '[{name: a, run: {script: "pwd", workdir: /proc/sys}}]' '{}'
check "a workdir of the kernel's" build proc
recipe shm '[{name: a, run: {script: "touch x", workdir: /dev/shm}}]' '{}'
check "and in memory" build shm
check_equal "leave no trace, either" "" "$(in_image shm 'dev.*')"

# ---- images of copies alone ----
echo x >f
mkdir tree && echo y >tree/y
recipe pure '[{name: a, copy: {from: f, to: /f}}, {name: b, copy: {from: tree, to: /srv/app/data, owner: "5:6"}}]' '{workdir: /srv/app}'
check "what leads to a copied directory" build pure
check_equal "is the workdir, whoever is to have what is copied" "drwxr-xr-x 5/6" "$(in_image pure srv/app)"
recipe last '[{name: a, copy: {from: tree, to: /w, owner: "5:6"}}]' '{workdir: /w}'
check "a workdir that is copied" build last
check_equal "is as it was copied" "drwxr-xr-x 5/6" "$(in_image last w)"
recipe first '[{name: a, copy: {from: f, to: /f}}, {name: b, copy: {from: tree, to: /w, owner: "5:6"}}]' '{workdir: /w}'
check "one that a later layer copies" build first
check_equal "is as that one copied it" "drwxr-xr-x 5/6" "$(in_image first w)"
recipe below '[{name: a, copy: {from: f, to: /f}}]' '{workdir: /tmp}'
check "one that the base has" build below
check_equal "is not in the layer" 1 "$("$SBUILD" inspect below:latest --json | jq -r '.layers[-1].digest[7:]' |
	xargs -I @@ sh -c "zstd -dcq '$SBUILD_STORE/blobs/sha256/@@' | tar -tf - | grep -c .")"
recipe clash '[{name: a, copy: {from: f, to: /srv/app}}]' '{workdir: /srv/app}'
check_fails "a file that is copied in its place" 3 "$SBUILD" build clash.yaml
check_said 'the workdir /srv/app can.t be a directory: /srv/app is a file'
check_store "after all of this"
