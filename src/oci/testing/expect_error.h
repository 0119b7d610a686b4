// SPDX-License-Identifier: Apache-2.0
// EXPECT_FAILS(result, code, fragment): the one way the tests of this folder look at an error.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

#define EXPECT_FAILS(expression, expected_code, fragment)                                       \
  do {                                                                                          \
    auto&& berth_result = (expression);                                                         \
    if (berth_result.has_value()) {                                                             \
      ADD_FAILURE() << #expression << " succeeded, expected: " << (fragment);                   \
      break;                                                                                    \
    }                                                                                           \
    EXPECT_EQ(::berth::CodeName(berth_result.error().code()), ::berth::CodeName(expected_code)) \
        << berth_result.error().message();                                                      \
    EXPECT_THAT(berth_result.error().message(), ::testing::HasSubstr(fragment));                \
  } while (false)
