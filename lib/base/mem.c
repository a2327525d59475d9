#include "lib/base/mem.h"

#include <stdalign.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <string.h>

#include "lib/base/invariant.h"

enum { ARENA_BLOCK_SIZE = 8 * 1024 - 64 };

struct arena_block {
    struct arena_block *older;
    size_t size;
    alignas(max_align_t) unsigned char data[];
};

void *mem_alloc(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    ASSERT(memory != NULL);
    return memory;
}

void *mem_alloc_array(size_t count, size_t size)
{
    size_t total;
    ASSERT(!__builtin_mul_overflow(count, size, &total));
    return mem_alloc(total);
}

void *mem_grow(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    ASSERT(memory != NULL);
    return memory;
}

char *mem_copy_string(const char *string)
{
    if (!string) {
        return NULL;
    }
    size_t size = strlen(string) + 1;
    return memcpy(mem_alloc(size), string, size);
}

void mem_free(void *memory)
{
    free(memory);
}

void mem_release(void *pointer_to_pointer)
{
    void *memory;
    memcpy(&memory, pointer_to_pointer, sizeof memory);
    free(memory);
    memset(pointer_to_pointer, 0, sizeof memory);
}

static size_t rounded_up(size_t size)
{
    size_t unit = alignof(max_align_t);
    ASSERT(size <= SIZE_MAX - unit);
    return (size + unit - 1) / unit * unit;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size = rounded_up(size ? size : 1);
    if (!arena->block || arena->block->size - arena->used_size < size) {
        size_t block_size = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
        struct arena_block *block = malloc(sizeof *block + block_size);
        ASSERT(block != NULL);
        block->older = arena->block;
        block->size = block_size;
        arena->block = block;
        arena->used_size = 0;
    }
    void *memory = arena->block->data + arena->used_size;
    arena->used_size += size;
    arena->total_size += size;
    return memset(memory, 0, size);
}

char *arena_copy(struct arena *arena, const void *data, size_t size)
{
    char *copy = arena_alloc(arena, size + 1);
    if (size) {
        memcpy(copy, data, size);
    }
    return copy;
}

void mem_give_back(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

static void blocks_free(struct arena_block *block)
{
    while (block) {
        struct arena_block *older = block->older;
        free(block);
        block = older;
    }
}

void arena_release(struct arena *arena)
{
    blocks_free(arena->block);
    *arena = (struct arena){0};
}

void arena_reset(struct arena *arena)
{
    struct arena_block *kept = arena->block;
    if (kept && kept->size == ARENA_BLOCK_SIZE) {
        blocks_free(kept->older);
        kept->older = NULL;
    } else {
        blocks_free(kept);
        kept = NULL;
    }
    *arena = (struct arena){.block = kept};
}
