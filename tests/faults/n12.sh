#!/bin/sh
# A variable that systemd would alter or leave out is refused, with its line; memory is no swap.
. tests/faults/lib.sh
. "$TOP/tests/faults/service.lib"
script vars 1.0.0 'exec sleep 1000' 'limits: {memory: 100M}' "health: {command: \"true\"$steady}"
n mkdir -p /etc/sbuild/environment
n sh -c 'printf "A=1\nPW=a\\\\b\n" >/etc/sbuild/environment/vars.env'
check_fails "PW=a\\b" 1 install vars 1.0.0
check_said "vars.env:2"
n sh -c 'echo "export X=1" >/etc/sbuild/environment/vars.env'
check_fails "export X=1" 1 install vars 1.0.0
check_said "vars.env:1"
n sh -c 'printf "%s\n" "PW='"'a\\\\b'"'" >/etc/sbuild/environment/vars.env'
check "PW='a\\b'" install vars 1.0.0
check_equal "what is over its memory is not swapped out" 0 "$(n systemctl show -P MemorySwapMax vars)"
