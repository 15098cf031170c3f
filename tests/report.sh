# Sourced by the runners: counting and its last line. Under tests/check the counts go to a file,
# which sums them over all suites.
passed=0 failed=0 skipped=0

report() { # SUITE
	if [ -n "${SB_COUNTS:-}" ]; then
		echo "$passed $failed $skipped" >>"$SB_COUNTS"
		echo "$1: $passed passed, $failed failed, $skipped skipped"
	else
		echo "$passed passed, $failed failed, $skipped skipped"
	fi
	[ "$failed" = 0 ]
}
