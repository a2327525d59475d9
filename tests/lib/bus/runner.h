/* Programs of the shop on threads of a test, over a bus within its process. */
#ifndef ZMART_TESTS_RUNNER_H
#define ZMART_TESTS_RUNNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/bus/main.h"

enum { RUNNER_MAX_WORDS = 32 };

struct runner {
    const struct program *program;
    char *argv[RUNNER_MAX_WORDS];
    int argc;
    struct program_host host;
    int ready_fd;
    atomic_int status; /* -1 while it runs */
    pthread_t thread;
    bool running;
};

/* Starts it with these flags (up to a NULL; borrowed until it is stopped), and waits until it is ready or has ended.
 * Returns -1 if it runs, otherwise its exit status. */
int runner_start(struct runner *runner, const struct program *program, const struct log *log, void *bus_context,
                 const char *const *flags);
/* Its exit status; the first if it was stopped before. */
int runner_stop(struct runner *runner);

#endif
