/* The gateway as a program: `gateway` alone, or a thread of `zmart up`. */
#ifndef ZMART_GATEWAY_PROGRAM_H
#define ZMART_GATEWAY_PROGRAM_H

#include "lib/base/process.h"

extern const struct program gateway_program;

#endif
