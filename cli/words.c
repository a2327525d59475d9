#include "cli/words.h"

#include <stddef.h>

#include "lib/base/mem.h"

void words_add(struct words *words, const char *word)
{
    words->items = mem_grow(words->items, ((size_t)words->count + 2) * sizeof *words->items);
    words->items[words->count++] = mem_copy_string(word);
    words->items[words->count] = NULL;
}

void words_add_flag(struct words *words, const char *flag, const char *value)
{
    char dashed[80] = "--";
    size_t size = 2;
    for (const char *at = flag; *at && size < sizeof dashed - 1; at++) {
        dashed[size++] = *at;
    }
    dashed[size] = '\0';
    words_add(words, dashed);
    words_add(words, value);
}

void words_add_all(struct words *words, const struct words *more)
{
    for (int i = 0; i < more->count; i++) {
        words_add(words, more->items[i]);
    }
}

void words_release(struct words *words)
{
    for (int i = 0; i < words->count; i++) {
        mem_free(words->items[i]);
    }
    mem_free(words->items);
    *words = (struct words){0};
}
