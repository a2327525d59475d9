#include "tests/lib/bus/runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void fd_raise(int fd)
{
    uint64_t one = 1;
    assert_int_equal(write(fd, &one, sizeof one), sizeof one);
}

static void runner_ready(struct env *env, const char *detail)
{
    struct runner *runner = env->owner;
    (void)detail;
    fd_raise(runner->ready_fd);
}

static void *runner_main(void *argument)
{
    struct runner *runner = argument;
    runner->status = program_run(runner->program, runner->argc, runner->argv, &runner->host);
    fd_raise(runner->ready_fd);
    return NULL;
}

static void word_add(struct runner *runner, const char *word)
{
    assert_true(runner->argc < RUNNER_MAX_WORDS);
    memcpy(&runner->argv[runner->argc++], &word, sizeof word); /* nobody writes into the strings */
}

int runner_start(struct runner *runner, const struct program *program, const struct log *log, void *bus_context,
                 const char *const *flags)
{
    uint64_t count;
    *runner = (struct runner){.program = program, .status = -1, .ready_fd = eventfd(0, EFD_CLOEXEC)};
    word_add(runner, program->name);
    for (; *flags; flags++) {
        word_add(runner, *flags);
    }
    runner->host = (struct program_host){.log = log,
                                         .bus_context = bus_context,
                                         .stop_fd = eventfd(0, EFD_CLOEXEC),
                                         .ready = runner_ready,
                                         .owner = runner};
    assert_int_equal(pthread_create(&runner->thread, NULL, runner_main, runner), 0);
    runner->running = true;
    assert_int_equal(read(runner->ready_fd, &count, sizeof count), sizeof count);
    return runner->status;
}

int runner_stop(struct runner *runner)
{
    if (runner->running) {
        fd_raise(runner->host.stop_fd);
        pthread_join(runner->thread, NULL);
        close(runner->host.stop_fd);
        close(runner->ready_fd);
        runner->running = false;
    }
    return runner->status;
}
