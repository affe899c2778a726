#!/bin/bash
# What `cmake --install` puts where, and how the programs are linked: hardened, and the CNI plugin
# and the command line without the libraries of the daemon.
set -u -o pipefail
build=${BH_BUILD_DIR:-build}
dir=$(mktemp -d /tmp/bh-install.XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
passed=0 failed=0

# check WHAT COMMAND...: the command must succeed.
check() {
	local what=$1
	shift
	if "$@" >"$dir/log" 2>&1; then
		passed=$((passed + 1))
	else
		echo "not so: $what"
		sed 's/^/  /' "$dir/log"
		failed=$((failed + 1))
	fi
}

links() {
	readelf -d "$1" | grep -E "NEEDED.*\[lib($2)[.-]"
}

links_not() {
	! links "$@"
}

is_hardened() {
	local said
	said=$(readelf -W -h -d -l -s "$1")
	for sign in 'Type:.*DYN' BIND_NOW GNU_RELRO __stack_chk_fail; do
		grep -q "$sign" <<<"$said" || { echo "no $sign" && return 1; }
	done
}

installed() {
	(cd "$dir/usr" && find . -type f | sort)
}

check "it installs" cmake --install "$build" --prefix "$dir/usr"
for file in sbin/bulkheadd bin/bulkhead opt/cni/bin/bulkhead-cni; do
	check "$file is there" test -x "$dir/usr/$file"
	check "$file is hardened" is_hardened "$dir/usr/$file"
	check "$file needs no library outside the system" \
		bash -c "! ldd '$dir/usr/$file' | grep -E 'not found|$build'"
done
check "nothing else but what they start is there" \
	test "$(installed | grep -Evc "libexec/bulkhead/bulkhead-(worker|image-verifier)$")" -eq 3
check "the daemon prints its version" "$dir/usr/sbin/bulkheadd" --version
check "the command line prints its version" "$dir/usr/bin/bulkhead" --version
check "the daemon has libbpf" links "$dir/usr/sbin/bulkheadd" bpf
for file in bin/bulkhead opt/cni/bin/bulkhead-cni; do
	check "$file has none of the daemon's libraries" \
		links_not "$dir/usr/$file" 'bpf|nl-3|nl-route-3|mnl|sqlite3|curl'
done
check "the plugin has no YAML, no crypto and no system call names" \
	links_not "$dir/usr/opt/cni/bin/bulkhead-cni" 'yaml|crypto|ssl|seccomp'
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
