# berth-unpack: its parts as a library, so that they can be tested without a sandbox, and the program.
find_package(OpenSSL REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)

file(GLOB unpack_sources CONFIGURE_DEPENDS unpack/*.cc)
set(unpack_tests ${unpack_sources})
list(FILTER unpack_tests INCLUDE REGEX "_test\\.cc$")
list(FILTER unpack_sources EXCLUDE REGEX "(_test|_main)\\.cc$")

add_library(berth_unpack STATIC ${unpack_sources} unpack_protocol.cc)
target_link_libraries(berth_unpack PUBLIC berth_flags_full berth_oci berth_os berth_base
  OpenSSL::Crypto PkgConfig::ISAL PkgConfig::ZSTD PkgConfig::SECCOMP Threads::Threads)

add_executable(berth-unpack unpack/unpack_main.cc)
target_link_libraries(berth-unpack PRIVATE berth_unpack)

if(unpack_tests)
  # The daemon's end is compiled here once more, so that these tests need nothing else of src/image.
  add_executable(unpack_test ${unpack_tests} process_unpacker.cc)
  target_link_libraries(unpack_test PRIVATE berth_unpack berth_test_support GTest::gtest
    GTest::gmock GTest::gtest_main)
  target_compile_definitions(unpack_test PRIVATE BERTH_UNPACK="$<TARGET_FILE:berth-unpack>")
  add_dependencies(unpack_test berth-unpack)
  add_test(NAME unpack COMMAND unpack_test)
  set_tests_properties(unpack PROPERTIES LABELS unit)
endif()
