# Language, warnings, hardening, sanitizers.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

add_compile_definitions(_GNU_SOURCE)
# no-strict-aliasing: the cleanup and vector macros see every pointer as void *, as in the kernel
add_compile_options(-Wall -Wextra -Wpedantic -Wvla -Wshadow -Wundef -Wstrict-prototypes
		    -Wmissing-prototypes -fno-strict-aliasing -fstack-protector-strong)
if(BH_WERROR)
	add_compile_options(-Werror)
endif()
add_link_options(-Wl,-z,relro,-z,now -Wl,--as-needed)

if(BH_SANITIZE)
	add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
			    -fno-omit-frame-pointer)
	add_link_options(-fsanitize=address,undefined)
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
	# not with ASan, whose interceptors it bypasses, and not without optimisation
	add_compile_options(-D_FORTIFY_SOURCE=2)
endif()

if(BH_FUZZ)
	if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
		message(FATAL_ERROR "BH_FUZZ needs clang: cmake -DCMAKE_C_COMPILER=clang")
	endif()
	add_compile_options(-fsanitize=fuzzer-no-link)
endif()

include_directories(src include cni ${PROJECT_BINARY_DIR}/generated)
