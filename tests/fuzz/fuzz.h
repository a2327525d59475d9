/* A fuzz target is one file with this function. libFuzzer calls it (clang -fsanitize=fuzzer fuzz_x.c ...), and so does
 * replay.c, which makes a normal test of the corpus. */
#ifndef ZMART_TESTS_FUZZ_FUZZ_H
#define ZMART_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Aborts when something is wrong; always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
