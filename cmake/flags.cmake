# Warning, hardening and sanitizer flags. BERTH_SANITIZE is empty, "address" or "thread".
set(BERTH_SANITIZE "" CACHE STRING "empty, address (with undefined) or thread")

add_library(berth_flags INTERFACE)
target_include_directories(berth_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(berth_flags INTERFACE _GNU_SOURCE _GLIBCXX_ASSERTIONS
  BERTH_VERSION="${PROJECT_VERSION}")
target_compile_options(berth_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Wimplicit-fallthrough
  # The fuzz targets are built by clang, whose warnings differ.
  $<$<NOT:$<BOOL:${BERTH_FUZZ}>>:-Werror>
  -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero
  -fno-delete-null-pointer-checks -fno-strict-overflow)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64")
  target_compile_options(berth_flags INTERFACE -fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64")
  target_compile_options(berth_flags INTERFACE -mbranch-protection=standard)
endif()
target_link_options(berth_flags INTERFACE
  -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)

if(BERTH_SANITIZE STREQUAL "address")
  # gcc 12 takes std::regex's states for uninitialized where it is instrumented.
  target_compile_options(berth_flags INTERFACE -fsanitize=address,undefined
    -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-maybe-uninitialized)
  target_link_options(berth_flags INTERFACE -fsanitize=address,undefined)
elseif(BERTH_SANITIZE STREQUAL "thread")
  target_compile_options(berth_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(berth_flags INTERFACE -fsanitize=thread)
else()
  # _FORTIFY_SOURCE needs optimisation and does not go with the sanitizers.
  target_compile_options(berth_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE>
    $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
endif()

# Daemon-side code: position independent, exceptions on (std and libraries throw; ours do not).
add_library(berth_flags_full INTERFACE)
target_link_libraries(berth_flags_full INTERFACE berth_flags)
target_compile_options(berth_flags_full INTERFACE -fPIE)
# BERTH_STATIC_PIE is a property of a program that is to need no shared library.
target_link_options(berth_flags_full INTERFACE
  $<IF:$<BOOL:$<TARGET_PROPERTY:BERTH_STATIC_PIE>>,-static-pie,-pie>)

# Monitor-side code: small and static, no exceptions, no RTTI. base and os are built with both.
add_library(berth_flags_tiny INTERFACE)
target_link_libraries(berth_flags_tiny INTERFACE berth_flags)
target_compile_definitions(berth_flags_tiny INTERFACE BERTH_TINY=1)
target_compile_options(berth_flags_tiny INTERFACE -fno-exceptions -fno-rtti -Os
  -ffunction-sections -fdata-sections)
target_link_options(berth_flags_tiny INTERFACE -Wl,--gc-sections)
if(BERTH_SANITIZE STREQUAL "")
  target_link_options(berth_flags_tiny INTERFACE -static)
endif()
