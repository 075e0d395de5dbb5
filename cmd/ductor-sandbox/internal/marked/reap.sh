# shellcheck shell=sh
# list | kill ID SIGNAL SECONDS: see the package marked. It must not bear a mark
# itself, which its subshells would have too.

# scan sets found to the PIDs of run $1, in one call of grep: a shell that reads
# files one by one is too slow for a tree that grows. Neither PID 1 nor this
# shell can be in it, whatever their environment says.
scan() {
	found=
	# shellcheck disable=SC2013 # no PID has a space in it
	for file in $(grep -zlxF -- "DUCTOR_EXEC_ID=$1" /proc/[0-9]*/environ 2>/dev/null); do
		pid=${file#/proc/}
		pid=${pid%/environ}
		[ "$pid" = 1 ] || [ "$pid" = "$$" ] || found="$found $pid"
	done
	strays
}

# strays adds to found what has come of these and has no mark any more, and those
# that were found so before: their parent may have ended since.
strays() {
	for one in $strays; do
		! started "${one%:*}" || [ "$began" != "${one#*:}" ] || found="$found ${one%:*}"
	done
	[ -n "$found" ] || return 0
	family=
	while read -r key value _; do
		case $key in
		Pid:) pid=$value ;;
		PPid:) family="$family $pid:$value" ;;
		esac
	done <<EOF
$(grep -hE '^P?Pid:' /proc/[0-9]*/status 2>/dev/null)
EOF
	more=yes
	while [ -n "$more" ]; do
		more=
		for one in $family; do
			pid=${one%:*}
			case "$found " in *" $pid "*) continue ;; esac
			case "$found " in *" ${one#*:} "*) ;; *) continue ;; esac
			started "$pid" || continue
			! grep -zq '^DUCTOR_EXEC_ID=' "/proc/$pid/environ" 2>/dev/null || continue
			found="$found $pid" strays="$strays $pid:$began" more=yes
		done
	done
}

# started sets began to when a process did, by which it is told from a later one
# with its number; what has ended has none.
started() {
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
	# shellcheck disable=SC2086 # the fields behind the name
	set -- ${stat##*) }
	[ "$1" != Z ] && [ $# -gt 19 ] || return 1
	shift 19
	began=$1
}

# send signals what scan found, and counts whom it had not met before.
send() {
	for pid in $found; do
		case "$met " in
		*" $pid "*) [ "$1" = KILL ] || continue ;;
		*) met="$met $pid" && killed=$((killed + 1)) ;;
		esac
		kill -s "$1" "$pid" 2>/dev/null
		kill -s CONT "$pid" 2>/dev/null
	done
}

nap() { sleep 0.02 2>/dev/null || sleep 1; }

# gone wants three empty scans: a process that is about to become another
# program has no environment for a moment.
gone() {
	for _ in 1 2 3; do
		scan "$1"
		[ -z "$found" ] || return 1
		nap
	done
}

# until_gone sends signal $2 to run $1 until it is gone, or for $3 seconds: a
# clock of whole seconds needs one more so as not to be early.
until_gone() {
	end=$(($(date +%s) + $3 + ($3 > 0)))
	while ! gone "$1"; do
		send "$2"
		[ "$(date +%s)" -lt "$end" ] || return 1
		[ "$2" = KILL ] || nap
	done
}

reap() {
	killed=0 met='' strays=''
	if [ "$2" = KILL ] || ! until_gone "$1" "$2" "$3"; then
		until_gone "$1" KILL 10
	fi
	scan "$1"
	left=0
	for pid in $found; do left=$((left + 1)); done
	echo "{\"killed\":$((killed - left)),\"left\":$left}"
	[ "$left" = 0 ]
}

# marks prints "PID ID" for every marked process.
marks() {
	grep -zaxH 'DUCTOR_EXEC_ID=[A-Za-z0-9][A-Za-z0-9._-]*' /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' |
		while IFS= read -r line; do
			pid=${line#/proc/}
			pid=${pid%%/*}
			[ "$pid" = 1 ] || [ "$pid" = "$$" ] || echo "$pid ${line#*:DUCTOR_EXEC_ID=}"
		done
}

list() {
	all=$(marks) ids=' ' runs=
	while read -r _ id; do
		case $ids in *" $id "*) ;; *) ids="$ids$id " ;; esac
	done <<EOF
$all
EOF
	for id in $ids; do
		pids=
		while read -r pid its; do
			[ "$its" != "$id" ] || pids="$pids,$pid"
		done <<EOF
$all
EOF
		runs="$runs,\"$id\":[${pids#,}]"
	done
	echo "{\"runs\":{${runs#,}}}"
}

for tool in grep tr sleep date; do
	command -v "$tool" >/dev/null || {
		echo "{\"error\":\"$tool is not in the container\"}"
		exit 71
	}
done
case $1 in
list) list ;;
kill) reap "$2" "$3" "$4" ;;
*) exit 64 ;;
esac
