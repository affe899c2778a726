#!/bin/bash
# Proves that the checks can fail: each tree samples/CHECK/CASE must be refused with the sentence in
# its EXPECT file, and each samples/CHECK/ok-CASE must pass. Every check needs both kinds.
set -u -o pipefail
cd "$(dirname "$0")" || exit 1
passed=0 failed=0

judge() {
	local case=$1 output status
	output=$(/usr/bin/python3 run_check.py "$2" --sample "$case" 2>&1)
	status=$?
	if [[ $(basename "$case") == ok-* ]]; then
		[ $status -eq 0 ] && return 0
	elif [ $status -eq 1 ] && grep -qFf "$case/EXPECT" <<<"$output"; then
		return 0
	fi
	printf '%s: exit code %s\n%s\n' "$case" "$status" "$output"
	return 1
}

for script in *.sh; do
	check=${script%.sh}
	[ "$check" = selftest ] && continue
	bad=0 good=0
	for case in samples/"$check"/*/; do
		[ -d "$case" ] || continue
		[[ $(basename "$case") == ok-* ]] && good=1 || bad=1
		if judge "${case%/}" "$check"; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
		fi
	done
	if [ $((bad + good)) -ne 2 ]; then
		echo "$check has no sample that must fail, or none that must pass"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
