/* uthash, with its memory from the one place that gives any. */
#ifndef ZMART_BROKER_TABLE_H
#define ZMART_BROKER_TABLE_H

#include "lib/base/mem.h"

#define uthash_malloc(size)       mem_alloc(size)
#define uthash_free(memory, size) mem_free(memory)
#include <uthash.h>
#include <utlist.h>

#endif
