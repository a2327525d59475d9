/* Runs a fuzz target over every file of its corpus folder and over changed copies of them: replay FOLDER [ROUNDS]. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "tests/fuzz/fuzz.h"

enum { FILE_MAX_SIZE = 1 << 20, ROUNDS = 300 };

static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* In memory of exactly its size, so that a sanitizer sees one byte too many. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = mem_alloc(size);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    LLVMFuzzerTestOneInput(copy, size);
    mem_free(copy);
}

static void run_changed(const uint8_t *data, size_t size, uint64_t *seed)
{
    uint8_t *copy = mem_alloc(size + 16);
    memcpy(copy, data, size);
    for (uint64_t changes = 1 + next_random(seed) % 4; changes > 0 && size > 0; changes--) {
        size_t at = next_random(seed) % size;
        switch (next_random(seed) % 4) {
        case 0: copy[at] = (uint8_t)next_random(seed); break;
        case 1: copy[at] ^= (uint8_t)(1 << next_random(seed) % 8); break;
        case 2: size = at; break;
        default:
            memmove(copy + at, copy + at + 1, size - at - 1);
            size--;
            break;
        }
    }
    run(copy, size);
    mem_free(copy);
}

static void replay(const char *path, int rounds)
{
    FILE *file = fopen(path, "rb");
    ASSERT(file != NULL);
    uint8_t *data = mem_alloc(FILE_MAX_SIZE);
    size_t size = fread(data, 1, FILE_MAX_SIZE, file);
    fclose(file);
    uint64_t seed = size;
    run(data, size);
    for (int i = 0; i < rounds; i++) {
        run_changed(data, size, &seed);
    }
    mem_free(data);
}

int main(int argc, char **argv)
{
    char path[4096];
    int count = 0;
    DIR *folder = argc > 1 ? opendir(argv[1]) : NULL;
    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER [ROUNDS]\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
            replay(path, argc > 2 ? atoi(argv[2]) : ROUNDS);
            count++;
        }
    }
    closedir(folder);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
