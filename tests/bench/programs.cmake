# The benchmarks' C programs, as targets of the product's own build: tests/bench/run passes this file
# as CMAKE_PROJECT_bulkhead_INCLUDE. Nothing but `--target bh_bench` builds them.

function(bh_bench_programs)
	get_property(libs GLOBAL PROPERTY BH_PROGRAM_LIBS)
	add_custom_target(bh_bench)
	foreach(program bulkheadd bulkhead bulkhead-cni bulkhead-worker)
		add_dependencies(bh_bench ${program})
	endforeach()
	bh_glob(sources tests/bench/bench_*.c tests/bpf/bench_*.c)
	foreach(source ${sources})
		get_filename_component(name ${source} NAME_WE)
		add_executable(${name} EXCLUDE_FROM_ALL ${source})
		set_target_properties(${name} PROPERTIES
			RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
		target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/bpf
					   ${PROJECT_SOURCE_DIR}/tests)
		target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
		target_link_libraries(${name} PRIVATE ${libs} bh_sys bh_core bh_ctl bh_base
				      bh_skel_headers PkgConfig::CMOCKA)
		add_dependencies(bh_bench ${name})
	endforeach()
endfunction()

# Included by project(); the targets need what comes after it.
cmake_language(DEFER CALL bh_bench_programs)
