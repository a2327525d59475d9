#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

/* Runs act in a child; returns its wait status and what it wrote to standard error. */
static int in_child(void (*act)(void), char *words, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        act();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got = 1; got > 0 && used + 1 < size; used += got > 0 ? (size_t)got : 0) {
        got = read(ends[0], words + used, size - 1 - used);
    }
    words[used] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void break_one(void)
{
    ASSERT(1 + 1 == 3);
}

static void keep_one(void)
{
    ASSERT(1 + 1 == 2);
}

static void multiply_too_much(void)
{
    mem_free(mem_alloc_array(SIZE_MAX / 2, 3));
}

static void a_broken_invariant_says_where_and_aborts(void **state)
{
    (void)state;
    char words[1000];
    int status = in_child(break_one, words, sizeof words);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(words, "test_invariant.c:"));
    assert_non_null(strstr(words, "broken invariant: 1 + 1 == 3"));
}

static void a_kept_one_says_nothing(void **state)
{
    (void)state;
    char words[1000];
    int status = in_child(keep_one, words, sizeof words);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_string_equal(words, "");
}

static void sizes_that_overflow_are_one(void **state)
{
    (void)state;
    char words[1000];
    int status = in_child(multiply_too_much, words, sizeof words);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_invariant_says_where_and_aborts),
        cmocka_unit_test(a_kept_one_says_nothing),
        cmocka_unit_test(sizes_that_overflow_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
