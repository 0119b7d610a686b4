# berth-stream: exec, attach and port-forward for clients, without privilege. See stream_main.cc.
#   berth_stream_core  what runs inside the process (and in the unit tests)
#   stream_test        its tests, with the daemon's and the monitor's ends of the protocol
# berthd's side uses protocol.cc alone, which is part of berth_api.
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json REQUIRED)

set(stream_dir ${CMAKE_CURRENT_LIST_DIR})
file(GLOB stream_all CONFIGURE_DEPENDS ${stream_dir}/*.cc)
set(stream_tests ${stream_all})
list(FILTER stream_all EXCLUDE REGEX "(_test|_main)\\.cc$")
list(FILTER stream_tests INCLUDE REGEX "_test\\.cc$")
file(GLOB stream_fakes CONFIGURE_DEPENDS ${stream_dir}/testing/*.cc)

add_library(berth_stream_core STATIC ${stream_all})
target_link_libraries(berth_stream_core PUBLIC berth_flags_full berth_os berth_base berth_syscall_filter
  OpenSSL::SSL OpenSSL::Crypto ZLIB::ZLIB nlohmann_json::nlohmann_json)

add_executable(berth-stream ${stream_dir}/stream_main.cc)
target_link_libraries(berth-stream PRIVATE berth_stream_core)

if(stream_tests)
  add_executable(stream_test ${stream_tests} ${stream_fakes})
  target_link_libraries(stream_test PRIVATE berth_stream_core GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(stream_test PRIVATE BERTH_STREAM_PROGRAM="$<TARGET_FILE:berth-stream>")
  add_dependencies(stream_test berth-stream)
  add_test(NAME stream COMMAND stream_test)
  set_tests_properties(stream PROPERTIES LABELS unit)
endif()
