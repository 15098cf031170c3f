#!/bin/sh
# Steps may write, replace and remove /etc/hosts and /etc/resolv.conf; nothing of this machine's resolver gets into a layer.
. tests/faults/lib.sh
need_root
bb
cat >s6.yaml <<'END'
name: s6
from: bb.yaml
layers:
  - name: net
    network: host
    run: |
      grep -q . /etc/resolv.conf
      cp /etc/resolv.conf /etc/resolv.conf.new
      mv /etc/resolv.conf.new /etc/resolv.conf
      rm /etc/resolv.conf
      ln -s ../run/resolvconf/resolv.conf /etc/resolv.conf
  - name: hosts
    run: echo "10.0.0.5 db" >>/etc/hosts
  - name: nothing
    network: host
    run: echo "nameserver 192.0.2.1" >>/etc/resolv.conf
END
check "steps write them" build s6
tree s6:latest out
check_equal "a link in the place of resolv.conf is the image's" ../run/resolvconf/resolv.conf "$(readlink out/etc/resolv.conf)"
check_equal "hosts is what the step added" "10.0.0.5 db" "$(cat out/etc/hosts)"
check "nothing else is there" sh -c "! find out/etc out/run -name '*resolv*' -type f | grep ."
