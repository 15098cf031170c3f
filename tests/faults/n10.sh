# A service that reads a directory of its host: by its recipe, and by a drop-in.
. tests/faults/lib.sh
. "$TOP/tests/e2e/node.lib"
. "$TOP/tests/e2e/node-service.lib"
boot_node one
n sh -c 'mkdir -p /srv/models /srv/more /etc/sbuild/host-directories && echo weights | tee /srv/models/a >/srv/more/a
	echo /srv/models >/etc/sbuild/host-directories/models'
make_service models "$(free_port)" 'directories: {host: {/srv/models: /models}}'
release models 1.0.0 >/dev/null 2>err || sed -i '/host: {/d' models.yaml
release models 1.0.1 >/dev/null 2>err || cat err
n sh -c 'mkdir -p /etc/systemd/system/models.service.d && printf "[Service]\nBindReadOnlyPaths=/srv/more:/more\n" >/etc/systemd/system/models.service.d/more.conf'
check "it starts" n sbuild install "$REPOSITORY/models:v1.0.1"
root=/proc/$(n systemctl show -P MainPID models)/root
check_equal "and sees both" "weights weights" "$(n chroot "$root" /bin/cat /models/a /more/a 2>&1 | paste -sd' ')"
