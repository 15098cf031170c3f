# What a layer holds is the same to all that read it, and what one refuses, all do.
. tests/faults/lib.sh
need_root
need python3 runc
same() { # WHAT MEMBERS…
	same_what=$1
	shift
	rm -rf layout
	layout layout odd "$@"
	printf 'name: top\nfrom: {image: "oci:layout:odd"}\nlayers: [{name: b, run: {script: "true"}}]\n' >top.yaml
	status_export=0 status_ls=0 status_step=0
	cat >upon.yaml <<-END
		name: upon
		from: {image: "oci:layout:odd"}
		layers: [{name: b, copy: {from: rootfs, to: /}}, {name: c, run: "true"}]
	END
	"$SBUILD" build upon.yaml --store "$T/store-$1" >step 2>&1 || status_step=$?
	printf 'name: pure\nfrom: {image: "oci:layout:odd"}\nlayers: [{name: b, copy: {from: upon.yaml, to: /b}}]\n' >pure.yaml
	"$SBUILD" build pure.yaml --store "$T/store-$1" >/dev/null 2>&1 || :
	"$SBUILD" ls pure --store "$T/store-$1" >ls 2>&1 || status_ls=$?
	"$SBUILD" export pure --format rootfs -o x.tar --store "$T/store-$1" >export 2>&1 || status_export=$?
	same=$([ "$status_export" = 0 ] && echo yes || echo no)$([ "$status_ls" = 0 ] && echo yes || echo no)$([ "$status_step" = 0 ] && echo yes || echo no)
	check "$same_what: one answer ($same)" test "$same" = yesyesyes -o "$same" = nonono
}
busybox_root rootfs
same "a whiteout of nothing" "w/" "w/.wh.="
same "a file that is a directory too" "p=file" "p/q=file"
same "no padding at the end" "a=a" -- 'tar.fileobj.flush(); cut = 1024'
