# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Four VMs with the same guest over the same kexec, each restored in another way. Nothing is
# expected of the three that are not ours: what they report is the table of `make demo`.

METHODS="none by-value realtime identical"
VCPUS=$(param vcpus 2)

vm_mem() { # NUMBER: its share of the reserved range
	_share=$((GUEST_SIZE / 4 / 65536 * 65536))
	printf '0x%x,%d' $((GUEST_ADDR + $1 * _share)) $_share
}

each_method() { # COMMAND...: with number and name of each method
	_number=0
	for _method in $METHODS; do
		"$@" $_number "$_method"
		_number=$((_number + 1))
	done
}

start_vm() { # NUMBER METHOD
	"$KCH/kch-vmm" run --mem "$(vm_mem "$1")" --name "$2" --vcpus "$VCPUS" --seconds 2 \
		--id "$(printf '00000000-0000-4000-8000-%012d' "$1")" \
		--save-with module --report "/run/$2" &
}

resume_vm() { # NUMBER METHOD
	"$KCH/kch-vmm" resume --mem "$(vm_mem "$1")" --method "$2" --seconds 2 \
		--report "/run/$2" &
}

tell() { # NUMBER METHOD
	while IFS= read -r _line; do
		note "$2" "$_line"
	done <"/run/$2"
}

stage_0() {
	wait_settled
	each_method start_vm
	wait
	for _method in $METHODS; do
		check "started-$_method" test -s "/run/$_method"
		check "checks-$_method" test -z "$(sed -n 's/^failed=//p' "/run/$_method")"
	done
	do_kexec
}

stage_1() {
	wait_settled
	each_method resume_vm
	wait
	each_method tell
	skip_if_mismeasured
	for _method in $METHODS; do
		check "resumed-$_method" grep -q ^error_now_ns= "/run/$_method"
	done
	check identical test -z "$(sed -n 's/^failed=//p' /run/identical)"
}
