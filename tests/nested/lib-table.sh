# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The case table: fields divided by |, one case a line, # starts a comment line. Sourced by run.sh.
# shellcheck disable=SC2034 # what is set here is for run.sh

declare -A T_SET=() T_HOST=() T_NEXT=() T_SCRIPT=() T_PARAMS=() T_EXPECT=() T_LIMIT=() T_OUTCOME=()
T_NAMES=()

trim() { # sets TRIMMED
	TRIMMED=${1#"${1%%[![:space:]]*}"}
	TRIMMED=${TRIMMED%"${TRIMMED##*[![:space:]]}"}
}

table_read() { # FILE
	local line number=0 fields field name
	while IFS= read -r line || [[ $line ]]; do
		number=$((number + 1))
		trim "$line"
		[[ -z $TRIMMED || $TRIMMED == \#* ]] && continue
		IFS='|' read -r -a fields <<<"$line"
		for field in "${!fields[@]}"; do
			trim "${fields[field]}"
			fields[field]=$TRIMMED
		done
		# The ninth field is that of the self-test: the outcome wanted of the judge.
		((${#fields[@]} == 8 || ${#fields[@]} == 9)) ||
			die "$1:$number: ${#fields[@]} fields instead of 8"
		name=${fields[0]}
		[[ $name =~ ^[a-z0-9][a-z0-9.-]*$ ]] || die "$1:$number: bad name: $name"
		[[ ! ${T_SET[$name]:-} ]] || die "$1:$number: $name is there twice"
		[[ ${fields[1]} == short || ${fields[1]} == full ]] ||
			die "$1:$number: ${fields[1]}: neither short nor full"
		[[ ${fields[6]} == pass || ${fields[6]} == caught:?* ]] ||
			die "$1:$number: ${fields[6]}: neither pass nor caught:CHECK"
		[[ ${fields[7]} =~ ^[1-9][0-9]*$ ]] || die "$1:$number: ${fields[7]}: no time limit"
		T_NAMES+=("$name")
		T_SET[$name]=${fields[1]}
		T_HOST[$name]=${fields[2]}
		T_NEXT[$name]=${fields[3]}
		T_SCRIPT[$name]=${fields[4]}
		T_PARAMS[$name]=${fields[5]}
		T_EXPECT[$name]=${fields[6]}
		T_LIMIT[$name]=${fields[7]}
		T_OUTCOME[$name]=${fields[8]:-}
	done <"$1"
	table_need_outcomes "$1"
}

# All cases of a table have the ninth field, or none has.
table_need_outcomes() { # FILE
	local name count=0
	for name in "${T_NAMES[@]}"; do
		[[ ! ${T_OUTCOME[$name]} ]] || count=$((count + 1))
	done
	((count == 0 || count == ${#T_NAMES[@]})) || die "$1: a wanted outcome for some cases only"
}

# Of each PATTERN, as the shell knows them, there must be a case; one of several is run once.
table_select() { # FULL PATTERN...: sets SELECTED
	local name pattern full=$1 found
	local -A seen=()
	shift
	SELECTED=()
	for pattern; do
		found=''
		for name in "${T_NAMES[@]}"; do
			# shellcheck disable=SC2053 # a pattern
			[[ $name == $pattern ]] || continue
			found=1
			[[ ${seen[$name]:-} ]] || SELECTED+=("$name")
			seen[$name]=1
		done
		[[ $found ]] || die "no case $pattern; tests/nested/run.sh -l lists them"
	done
	(($# == 0)) || return 0
	for name in "${T_NAMES[@]}"; do
		[[ ! $full && ${T_SET[$name]} != short ]] || SELECTED+=("$name")
	done
	return 0
}

table_lines() { # CASE: the kernel lines it needs, one a line
	printf '%s\n' "${T_HOST[$1]}" "${T_NEXT[$1]}" | sort -uV
}

table_param() { # CASE KEY DEFAULT
	local word value=$3
	for word in ${T_PARAMS[$1]}; do
		[[ $word != "$2="* ]] || value=${word#*=}
	done
	echo "$value"
}

table_list() { # CASE...
	local name
	for name; do
		printf '%-28s %-6s %-6s %-6s %-14s %s\n' "$name" "${T_SET[$name]}" "${T_HOST[$name]}" \
			"${T_NEXT[$name]}" "${T_EXPECT[$name]}" "${T_SCRIPT[$name]} ${T_PARAMS[$name]}"
	done
}
