/* The only file that allocates. When memory ends the process ends: every input is bounded before it
 * is copied, so running out means a limit was set wrongly, and a supervisor starts us again. */
#ifndef ZMART_BASE_MEM_H
#define ZMART_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/auto.h"

/* Zeroed memory; never NULL. Released with mem_free. */
void *mem_alloc(size_t size);
/* count * size bytes, zeroed; a product that overflows is a broken invariant. */
void *mem_alloc_array(size_t count, size_t size);
/* As realloc, never NULL; what is added is not zeroed. */
void *mem_grow(void *old, size_t size);
/* A copy of a NUL-terminated string; NULL gives NULL. */
char *mem_copy_string(const char *string);
/* NULL is allowed. */
void mem_free(void *memory);
/* For AUTO(mem_release) on any pointer variable: frees and nulls it. */
void mem_release(void *pointer_to_pointer);

/* Gives back to the system what is free, in the midst of the heap too; takes some milliseconds for each 100 MiB. For
 * after a crowd: the C library keeps what it had, and finds only part of it again for the next one. */
void mem_give_back(void);

/* An arena owns everything that one request (or one page, one batch) needs, and drops it at once. */
struct arena {
    struct arena_block *block; /* newest; NULL when empty */
    size_t used_size;          /* bytes handed out in the newest block */
    size_t total_size;         /* bytes handed out in all blocks */
};

/* An arena needs no set-up beyond zeroes: struct arena arena = {0}; */
/* Zeroed memory aligned for any type, alive until arena_release or arena_reset; never NULL. */
void *arena_alloc(struct arena *arena, size_t size);
/* A copy of size bytes plus a closing NUL that is not counted. */
char *arena_copy(struct arena *arena, const void *data, size_t size);
/* Frees everything. The arena can be used again. */
void arena_release(struct arena *arena);
/* As arena_release but keeps one block for the next user. */
void arena_reset(struct arena *arena);

#endif
