# bh_static and bh_program: targets from whatever sources exist.

# bh_glob(VAR PATTERN...): files below the source directory, empty list when there are none.
function(bh_glob var)
	list(TRANSFORM ARGN PREPEND ${PROJECT_SOURCE_DIR}/)
	file(GLOB found CONFIGURE_DEPENDS ${ARGN})
	set(${var} ${found} PARENT_SCOPE)
endfunction()

# bh_static(NAME [DIRS d...] [FILES f...] [EXCLUDE f...] [LIBS l...]): a static library; an empty
# one (INTERFACE) that still carries LIBS when there is no source.
function(bh_static name)
	cmake_parse_arguments(A "" "" "DIRS;FILES;EXCLUDE;LIBS" ${ARGN})
	set(patterns ${A_FILES})
	foreach(dir ${A_DIRS})
		list(APPEND patterns ${dir}/*.c)
	endforeach()
	bh_glob(sources ${patterns})
	foreach(file ${A_EXCLUDE})
		list(REMOVE_ITEM sources ${PROJECT_SOURCE_DIR}/${file})
	endforeach()
	if(sources)
		add_library(${name} STATIC ${sources})
		target_link_libraries(${name} PUBLIC ${A_LIBS})
	else()
		add_library(${name} INTERFACE)
		target_link_libraries(${name} INTERFACE ${A_LIBS})
	endif()
endfunction()

# bh_program(NAME DIR d LIBS l...): DIR/main.c is the program, the other files are the static
# library <NAME>_lib; nothing at all while DIR/main.c does not exist (then only the library).
function(bh_program name)
	cmake_parse_arguments(A "" "DIR" "LIBS" ${ARGN})
	bh_static(${name}_lib DIRS ${A_DIR} EXCLUDE ${A_DIR}/main.c LIBS ${A_LIBS})
	bh_glob(main ${A_DIR}/main.c)
	if(main)
		add_executable(${name} ${main})
		target_link_libraries(${name} PRIVATE ${name}_lib)
	endif()
	set_property(GLOBAL APPEND PROPERTY BH_PROGRAM_LIBS ${name}_lib)
endfunction()

function(bh_install name dir)
	if(TARGET ${name})
		install(TARGETS ${name} RUNTIME DESTINATION ${dir})
	endif()
endfunction()

# bh_protobuf(NAME FILE): FILE.proto -> <build>/proto/FILE.pb-c.[ch], a library with a header. What a
# generator writes is not held to our warnings.
function(bh_protobuf name file)
	find_program(BH_PROTOC_C NAMES protoc-c REQUIRED)
	get_filename_component(base ${file} NAME_WE)
	get_filename_component(dir ${PROJECT_SOURCE_DIR}/${file} DIRECTORY)
	set(out ${PROJECT_BINARY_DIR}/proto)
	file(MAKE_DIRECTORY ${out})
	add_custom_command(OUTPUT ${out}/${base}.pb-c.c ${out}/${base}.pb-c.h
		COMMAND ${BH_PROTOC_C} --c_out=${out} -I ${dir} ${base}.proto
		DEPENDS ${PROJECT_SOURCE_DIR}/${file} COMMENT "protobuf ${base}" VERBATIM)
	add_library(${name} STATIC ${out}/${base}.pb-c.c ${out}/${base}.pb-c.h)
	target_compile_options(${name} PRIVATE -w)
	target_include_directories(${name} SYSTEM PUBLIC ${out})
	target_link_libraries(${name} PUBLIC PkgConfig::PROTOBUF_C)
endfunction()
