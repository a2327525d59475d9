/* What every room that runs gets and gives: a program is a run function over a config table, and it can
 * be the main of a process or one thread of `zmart up` without knowing which. */
#ifndef ZMART_BASE_PROCESS_H
#define ZMART_BASE_PROCESS_H

#include <stddef.h>

#include "lib/base/config.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"

/* Rows that every program has. */
#define PROCESS_CONFIG(X)                                                                                         \
    X(STRING, log_level, "log-level", "info", 0, 16, "least level that is logged: debug, info, warn or error")    \
    X(STRING, log_file, "log-file", "", 0, 0, "file that log lines are added to; standard error if none")         \
    X(STRING, instance, "instance", "", 0, 40, "this process's name in logs and metrics; made from the pid if none")
CONFIG_DECLARE(process_config, PROCESS_CONFIG);

struct env {
    const struct log *log;   /* borrowed */
    struct metrics *metrics; /* borrowed; this room's own */
    const char *instance;    /* "order-svc-4711"; borrowed */
    void *bus_context;       /* the libzmq context that inproc:// addresses live in; borrowed, never NULL */
    int stop_fd;             /* becomes readable when the program is to drain and return; never read it */
    /* The program calls this once when it answers; detail (may be NULL) is a line for people. Thread-safe. */
    void (*ready)(struct env *env, const char *detail);
    void *owner;             /* of whoever runs the program */
};

struct program {
    const char *name;                /* "order-svc" */
    const struct config_table *config; /* its first section must be process_config at offset 0 */
    size_t config_size;              /* of the struct that the table fills */
    /* Returns the exit status: 0 after a drain. Errors that stop it are told in one log line before. */
    int (*run)(const void *config, struct env *env);
};

/* A copy of argv, NULL-terminated, to be used instead of it and freed with argv_release; in argv itself passwords in
 * URLs are written over, so that other accounts do not see them in the list of processes. */
char **argv_hide(int argc, char **argv);
void argv_release(char ***self); /* fit for AUTO */

/* True when env->stop_fd is readable. */
bool env_stopping(const struct env *env);

#endif
