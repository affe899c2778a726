# Tests, all registered with ctest and run by tests/run, which reads the list from ctest. Labels:
# unit, bpf (root), golden, fuzz, check, e2e (root), bench.

get_property(program_libs GLOBAL PROPERTY BH_PROGRAM_LIBS)
set(all_libs ${program_libs} bh_sys bh_core bh_ctl bh_base)

# What the build with sanitizers needs: everything that runs without privilege.
add_custom_target(bh_sanitized_tests)
foreach(program bulkheadd bulkhead bulkhead-cni bulkhead-worker)
	if(TARGET ${program})
		add_dependencies(bh_sanitized_tests ${program})
	endif()
endforeach()

# Where a test finds what it needs, whatever its working directory.
set(test_env "BH_SOURCE_DIR=${PROJECT_SOURCE_DIR}" "BH_BUILD_DIR=${PROJECT_BINARY_DIR}")

function(bh_register name label timeout)
	add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
	set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout}
			     ENVIRONMENT "${test_env}")
endfunction()

# One cmocka program per file; a static test that no table names is an error, not a warning.
function(bh_cmocka_tests label timeout)
	bh_glob(sources tests/${label}/test_*.c)
	foreach(source ${sources})
		get_filename_component(name ${source} NAME_WE)
		set(target ${label}_${name})
		add_executable(${target} ${source})
		set_target_properties(${target} PROPERTIES
			RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
		target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/bpf
					   ${PROJECT_SOURCE_DIR}/tests/${label}
					   ${PROJECT_SOURCE_DIR}/tests)
		target_compile_options(${target} PRIVATE -Werror=unused-function
				       -Wno-missing-prototypes)
		target_link_libraries(${target} PRIVATE ${all_libs} bh_skel_headers
				      PkgConfig::CMOCKA)
		bh_register(${target} ${label} ${timeout} ${target})
		if(NOT label STREQUAL "bpf")
			add_dependencies(bh_sanitized_tests ${target})
		endif()
	endforeach()
endfunction()

# Time limits end what hangs, nothing else: ten times what the longest test of a kind takes on two quiet
# cores, for there are slower machines, and busier ones.
bh_cmocka_tests(unit 600)
bh_cmocka_tests(bpf 1200)
bh_cmocka_tests(golden 600)

# Fuzz targets: libFuzzer with BH_FUZZ, else the bounded driver in tests/fuzz/main.c, which replays
# tests/fuzz/corpus/NAME and mutates it.
set(BH_FUZZ_RUNS 20000 CACHE STRING "mutated inputs per fuzz target in ctest")
set(BH_FUZZ_SECONDS 20 CACHE STRING "at most so long per fuzz target in ctest")
bh_glob(sources tests/fuzz/fuzz_*.c)
foreach(source ${sources})
	get_filename_component(target ${source} NAME_WE)
	string(REGEX REPLACE "^fuzz_" "" name ${target})
	set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
	if(BH_FUZZ)
		add_executable(${target} ${source})
		target_compile_options(${target} PRIVATE -fsanitize=fuzzer)
		target_link_options(${target} PRIVATE -fsanitize=fuzzer)
	else()
		add_executable(${target} ${source} tests/fuzz/main.c)
		bh_register(${target} fuzz 900
			    ${target} -n ${BH_FUZZ_RUNS} -s 1 -t ${BH_FUZZ_SECONDS} ${corpus})
		add_dependencies(bh_sanitized_tests ${target})
	endif()
	set_target_properties(${target} PROPERTIES
		RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
	target_compile_options(${target} PRIVATE -Wno-missing-prototypes)
	target_link_libraries(${target} PRIVATE ${all_libs})
endforeach()
target_sources(fuzz_calls PRIVATE tests/eval/calls.c)
target_include_directories(fuzz_calls PRIVATE ${PROJECT_SOURCE_DIR}/tests)

# Scripts. Only executable files that start with "#!": helpers that are sourced or imported are not
# tests.
function(bh_script_tests label timeout)
	bh_glob(scripts tests/${label}/*.sh tests/${label}/*.py)
	foreach(script ${scripts})
		execute_process(COMMAND test -x ${script} RESULT_VARIABLE not_executable)
		file(READ ${script} start LIMIT 2 HEX)
		if(NOT not_executable AND start STREQUAL "2321") # "#!"
			get_filename_component(name ${script} NAME_WE)
			bh_register(${label}_${name} ${label} ${timeout} ${script})
		endif()
	endforeach()
endfunction()

# The evaluation tool is no test by itself: small_set.py runs it on a generated set.
bh_glob(eval_sources tests/eval/*.c)
add_executable(eval_anomaly ${eval_sources})
target_include_directories(eval_anomaly PRIVATE ${PROJECT_SOURCE_DIR}/tests)
set_target_properties(eval_anomaly PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
target_link_libraries(eval_anomaly PRIVATE bh_core bh_base)
add_dependencies(bh_sanitized_tests eval_anomaly)
bh_register(eval_small_set golden 1200 ${PROJECT_SOURCE_DIR}/tests/eval/small_set.py)

# Benchmarks' programs: in tests/bench/run each by itself, but built with everything else, and started by
# tests/e2e/bench_programs.py, so that what breaks them is noticed.
add_custom_target(bh_bench)
foreach(program bulkheadd bulkhead bulkhead-cni bulkhead-worker)
	if(TARGET ${program})
		add_dependencies(bh_bench ${program})
	endif()
endforeach()
bh_glob(bench_sources tests/bench/bench_*.c tests/bpf/bench_*.c)
foreach(source ${bench_sources})
	get_filename_component(name ${source} NAME_WE)
	add_executable(${name} ${source})
	set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
	target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/bpf ${PROJECT_SOURCE_DIR}/tests)
	target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
	target_link_libraries(${name} PRIVATE ${all_libs} bh_skel_headers PkgConfig::CMOCKA)
	add_dependencies(bh_bench ${name})
endforeach()

bh_script_tests(check 1200)
bh_script_tests(golden 1200)
bh_script_tests(bpf 1200)
bh_script_tests(e2e 1200)
