# Libraries, all through pkg-config. tests/setup installs them on Debian 12.

find_package(PkgConfig REQUIRED)

function(bh_need var)
	pkg_check_modules(${var} IMPORTED_TARGET GLOBAL ${ARGN})
	if(NOT ${var}_FOUND)
		message(FATAL_ERROR "needed and not found: ${ARGN} "
				    "(on Debian 12 run tests/setup, which installs everything)")
	endif()
endfunction()

bh_need(JANSSON jansson>=2.13)
bh_need(EVENT libevent>=2.1)
bh_need(YAML yaml-0.1)
bh_need(CRYPTO libcrypto>=3.0)
bh_need(CBOR libcbor>=0.8)
bh_need(SSL libssl>=3.0)
bh_need(BPF libbpf>=1.3)
bh_need(NL libnl-3.0)
bh_need(NLROUTE libnl-route-3.0)
bh_need(MNL libmnl)
bh_need(SQLITE sqlite3)
bh_need(CURL libcurl)
bh_need(SECCOMP libseccomp)
bh_need(PROTOBUF_C libprotobuf-c>=1.4)
if(BH_TESTS)
	bh_need(CMOCKA cmocka)
endif()
