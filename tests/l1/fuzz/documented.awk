# SPDX-License-Identifier: GPL-2.0
# The errnos that the user ABI's header gives each ioctl, and those of its first table, which all have.

function take(line,    words, count, i)
{
	count = split(line, words, /[^A-Z0-9_]+/)
	for (i = 1; i <= count; i++)
		if (words[i] ~ /^E[A-Z0-9]+$/)
			found = found " " words[i]
}

/^ \* Errors every ioctl can return/ { common = 1 }
/^ \* Errors of single ioctls/ && common { printf "#define EVERY_IOCTL \"%s \"\n", found; common = 0; found = "" }
common && /^ \* E[A-Z0-9]+ / { take($2) }

/^ \* (struct kch_[a-z_]+ - )?KCH_IOC_[A-Z_]+( -|:)/ {
	match($0, /KCH_IOC_[A-Z_]+/)
	name = substr($0, RSTART, RLENGTH)
	found = ""
}
name && /Errors:/ { on = 1; sub(/.*Errors:/, "") }
on { take($0) }
/^ \*\/$/ && name { printf "DOCUMENTED(%s, \"%s \")\n", name, found; name = found = ""; on = 0 }
