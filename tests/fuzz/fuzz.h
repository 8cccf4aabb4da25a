/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz: what every fuzzer of this folder has: libFuzzer calls it with foreign bytes; a broken
 * promise is a must(). `tests/tools/fuzz NAME SECONDS` runs one on its corpus.
 */
#ifndef SLUICE_TESTS_FUZZ_FUZZ_H
#define SLUICE_TESTS_FUZZ_FUZZ_H

#include "lib/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif
