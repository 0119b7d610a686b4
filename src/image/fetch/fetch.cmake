# berth-fetch: registry protocol and archive reading, without privilege. See fetch_main.cc.
#   berth_fetch_core  what runs inside the process (and in the unit tests)
#   fetch_test        its tests, with the daemon's end of the protocol; needs the program built
find_package(OpenSSL REQUIRED)
if(TARGET berth_image)
  target_link_libraries(berth_image PUBLIC OpenSSL::Crypto)
endif()
if(NOT EXISTS ${CMAKE_CURRENT_LIST_DIR}/fetch_main.cc)
  return()
endif()
find_package(CURL REQUIRED)
find_package(nlohmann_json REQUIRED)

set(fetch_dir ${CMAKE_CURRENT_LIST_DIR})
set(image_dir ${fetch_dir}/..)
file(GLOB fetch_all CONFIGURE_DEPENDS ${fetch_dir}/*.cc)
set(fetch_tests ${fetch_all})
list(FILTER fetch_all EXCLUDE REGEX "(_test|_main)\\.cc$")
list(FILTER fetch_tests INCLUDE REGEX "_test\\.cc$")

add_library(berth_fetch_core STATIC ${fetch_all} ${image_dir}/fetch_protocol.cc ${image_dir}/fetch_protocol_images.cc
  ${image_dir}/hash.cc ${image_dir}/registry_host.cc)
target_link_libraries(berth_fetch_core PUBLIC berth_flags_full berth_oci berth_os berth_base
  CURL::libcurl OpenSSL::SSL OpenSSL::Crypto nlohmann_json::nlohmann_json berth_syscall_filter Threads::Threads)

add_executable(berth-fetch ${fetch_dir}/fetch_main.cc)
target_link_libraries(berth-fetch PRIVATE berth_fetch_core)

# Enters the sandbox and tries what must not work there; for the tests.
add_executable(fetch_sandbox_probe ${fetch_dir}/sandbox_probe_main.cc)
target_link_libraries(fetch_sandbox_probe PRIVATE berth_fetch_core)

# The daemon's end is compiled here once more, so that these tests need nothing else of src/image.
file(GLOB fetch_daemon_side CONFIGURE_DEPENDS ${image_dir}/certs_d*.cc ${image_dir}/docker_config.cc ${image_dir}/process_fetcher*.cc)
add_executable(fetch_test ${fetch_tests} ${fetch_daemon_side}
  ${image_dir}/testing/fake_registry.cc ${image_dir}/testing/fake_fetcher.cc)
target_link_libraries(fetch_test PRIVATE berth_fetch_core GTest::gtest GTest::gmock GTest::gtest_main)
target_compile_definitions(fetch_test PRIVATE
  BERTH_FETCH_PROGRAM="$<TARGET_FILE:berth-fetch>"
  BERTH_FETCH_PROBE="$<TARGET_FILE:fetch_sandbox_probe>")
add_dependencies(fetch_test berth-fetch fetch_sandbox_probe)
add_test(NAME fetch COMMAND fetch_test)
set_tests_properties(fetch PROPERTIES LABELS unit)
