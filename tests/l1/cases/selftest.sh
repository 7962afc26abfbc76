# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Misbehaves as the parameter act= says, so that run.py --self-test can see whether the test bed notices.

stage_0() {
	check something true
	case $(param act) in
	panic) echo c >/proc/sysrq-trigger ;;
	warn-taint) echo 512 >/proc/sys/kernel/tainted ;;
	splat) echo '<4>WARNING: CPU: 0 PID: 1 at nowhere.c:1' >/dev/kmsg ;;
	reset) reboot -f ;;
	hang) sleep 1000 ;;
	# Where sleeping takes no time.
	spin) while :; do :; done ;;
	check) check broken false ;;
	script) false ;;
	skip) skip 'nothing to do here' ;;
	kexec) do_kexec ;;
	kexec-after-failure)
		check broken false
		do_kexec
		;;
	return) ;;
	*) fail "act=$(param act): unknown" ;;
	esac
}

stage_1() {
	check_equal release "$(uname -r)" "$(cat "/kch/lines/$NEXT_LINE")"
	check_equal release-again "a" "b"
}
