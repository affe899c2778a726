# BPF programs: bpf/NAME.bpf.c -> <build>/bpf/NAME.bpf.o -> <build>/skel/NAME.skel.h, whose struct
# is NAME_bpf. Users link bh_skel_headers.

function(bh_bpf_skeletons)
	add_library(bh_skel_headers INTERFACE)
	bh_glob(sources bpf/*.bpf.c)
	if(NOT sources)
		return()
	endif()
	# not a CMAKE_C_COMPILER: gcc may build the rest
	find_program(BH_CLANG NAMES clang clang-14 clang-15 clang-16 clang-19 REQUIRED)
	find_program(BH_BPFTOOL bpftool HINTS /usr/sbin /usr/local/sbin REQUIRED)
	# the system headers' asm/ lives in the multiarch folder, which -target bpf does not search
	set(flags -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Werror
		-I${PROJECT_SOURCE_DIR}/include -I${PROJECT_SOURCE_DIR}/bpf
		-idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE})
	file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/bpf ${PROJECT_BINARY_DIR}/skel)
	set(headers)
	foreach(source ${sources})
		get_filename_component(name ${source} NAME)
		string(REGEX REPLACE "\\.bpf\\.c$" "" name ${name})
		bh_bpf_skeleton(${name} ${source} "${flags}")
		list(APPEND headers ${PROJECT_BINARY_DIR}/skel/${name}.skel.h)
	endforeach()
	add_custom_target(bh_skel ALL DEPENDS ${headers})
	add_dependencies(bh_skel_headers bh_skel)
	target_include_directories(bh_skel_headers SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/skel)
endfunction()

# Linking one object with bpftool drops DWARF and keeps BTF, so the skeleton stays small.
function(bh_bpf_skeleton name source flags)
	set(raw ${PROJECT_BINARY_DIR}/bpf/${name}.raw.o)
	set(object ${PROJECT_BINARY_DIR}/bpf/${name}.bpf.o)
	set(header ${PROJECT_BINARY_DIR}/skel/${name}.skel.h)
	string(REGEX REPLACE "[^A-Za-z0-9_]" "_" ident ${name})
	add_custom_command(OUTPUT ${raw}
		COMMAND ${BH_CLANG} ${flags} -MD -MF ${raw}.d -MT ${raw} -c ${source} -o ${raw}
		DEPENDS ${source} DEPFILE ${raw}.d
		COMMENT "BPF ${name}" VERBATIM)
	add_custom_command(OUTPUT ${object}
		COMMAND ${BH_BPFTOOL} gen object ${object} ${raw}
		DEPENDS ${raw} VERBATIM)
	add_custom_command(OUTPUT ${header}
		COMMAND ${BH_BPFTOOL} gen skeleton ${object} name ${ident}_bpf > ${header}.tmp
		COMMAND ${CMAKE_COMMAND} -E rename ${header}.tmp ${header}
		DEPENDS ${object} VERBATIM)
endfunction()
