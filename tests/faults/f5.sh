# What a layer holds is one tree, for a step, `export` and `ls`.
. tests/faults/lib.sh
need_root
need python3 runc
busybox_root rootfs
same() { # WHAT MEMBERS… [-- PYTHON]
	same_what=$1
	shift
	rm -rf layout by-export
	layout layout odd "$@"
	cat >step.yaml <<-END
		name: step
		from: {image: "oci:layout:odd"}
		layers: [{name: b, copy: {from: rootfs, to: /}}, {name: c, run: "cd /w && find . -mindepth 1 | xargs -r ls -ld | sort >/list; find . | sort | xargs stat -c '%n %F %a' >/list"}]
	END
	check "$same_what: it is built upon" build step
	tree step by-export
	(cd by-export/w && find . | sort | xargs stat -c '%n %F %a') >by-export.list
	check "$same_what: a step sees what export has" diff by-export.list by-export/list
	"$SBUILD" ls step /w -R | sed 's/.*UTC *//; s/^.* //; s|/$||' | sort >by-ls
	check_equal "$same_what: and as much as ls lists" "$(wc -l <by-ls)" "$(($(wc -l <by-export.list) - 1))"
}
same "a directory that a file of the same layer replaces" w/ w/p/ w/p/q=x w/p=file
same "a whiteout of nothing" w/ w/a=1 w/n/ w/n/.wh.z=
same "a device that stands for nothing" w/ w/a=1 -- '
info = tarfile.TarInfo("w/null"); info.type = tarfile.CHRTYPE; tar.addfile(info)'
