/* The broker as a program. */
#ifndef ZMART_BROKER_PROGRAM_H
#define ZMART_BROKER_PROGRAM_H

#include "lib/base/process.h"

extern const struct program broker_program;

#endif
