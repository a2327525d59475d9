#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"

static void memory_is_zeroed_and_copied(void **state)
{
    (void)state;
    AUTO(mem_release) char *memory = mem_alloc(100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(memory[i], 0);
    }
    mem_free(mem_alloc(0));
    mem_free(NULL);
    memory = mem_grow(memory, 1000);
    assert_int_equal(memory[99], 0);
    assert_null(mem_copy_string(NULL));
    char *copy = mem_copy_string("abc");
    assert_string_equal(copy, "abc");
    mem_release(&copy);
    assert_null(copy);
    mem_free(mem_alloc_array(10, 10));
}

static void arenas_align_zero_and_keep(void **state)
{
    (void)state;
    struct arena arena = {0};
    char *pieces[500];
    for (int i = 0; i < 500; i++) {
        size_t size = (size_t)(i % 7 == 0 ? 20000 : i);
        pieces[i] = arena_alloc(&arena, size);
        assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        for (size_t at = 0; at < size; at++) {
            assert_int_equal(pieces[i][at], 0);
        }
        memset(pieces[i], i, size);
    }
    for (int i = 0; i < 500; i++) { /* nothing was written over */
        size_t size = (size_t)(i % 7 == 0 ? 20000 : i);
        for (size_t at = 0; at < size; at++) {
            assert_int_equal(pieces[i][at], (char)i);
        }
    }
    assert_true(arena.total_size >= 72 * 20000);
    arena_release(&arena);
    assert_null(arena.block);
    char *copy = arena_copy(&arena, "xyz", 2);
    assert_string_equal(copy, "xy");
    assert_string_equal(arena_copy(&arena, NULL, 0), "");
    arena_release(&arena);
    arena_release(&arena);
}

static void a_reset_arena_starts_again_with_zeroes(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 20; i++) {
            char *piece = arena_alloc(&arena, 1000);
            assert_int_equal(piece[0], 0);
            assert_int_equal(piece[999], 0);
            memset(piece, 0xee, 1000);
        }
        if (round % 3 == 0) {
            memset(arena_alloc(&arena, 100000), 0xee, 100000); /* the newest block is a large one */
        }
        arena_reset(&arena);
        assert_int_equal(arena.total_size, 0);
    }
    arena_reset(&arena);
    arena_release(&arena);
    arena_reset(&arena);
}

static long resident_pages(void)
{
    long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &total, &resident), 2);
    fclose(file);
    return resident;
}

/* Small pieces below one that stays: only what is asked for comes back from there. */
static void a_crowd_leaves_its_memory(void **state)
{
    (void)state;
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    enum { PIECES = 20000, SIZE = 1500, PAGE = 4096 };
    char **pieces = mem_alloc_array(PIECES, sizeof *pieces);
    for (int i = 0; i < PIECES; i++) {
        pieces[i] = mem_alloc(SIZE);
        memset(pieces[i], 1, SIZE);
    }
    char *last = mem_alloc(SIZE);
    for (int i = 0; i < PIECES; i++) {
        mem_free(pieces[i]);
    }
    long before = resident_pages();
    mem_give_back();
    assert_true(before - resident_pages() > PIECES * (long)SIZE / PAGE / 2);
    mem_free(last);
    mem_free(pieces);
#else
    (void)resident_pages;
    mem_give_back();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_copied),
        cmocka_unit_test(arenas_align_zero_and_keep),
        cmocka_unit_test(a_reset_arena_starts_again_with_zeroes),
        cmocka_unit_test(a_crowd_leaves_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
