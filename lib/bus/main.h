/* Runs a program: as the main of a process (process_main), or as one thread of a process that runs several
 * (program_run). The program cannot tell which. */
#ifndef ZMART_BUS_MAIN_H
#define ZMART_BUS_MAIN_H

#include "lib/base/process.h"

enum { PROCESS_OK = 0, PROCESS_FAILED = 1, PROCESS_BAD_CONFIG = 2 }; /* exit statuses */

/* Settings from argv and environment, --help, --version, log, SIGINT and SIGTERM as env->stop_fd (a second SIGINT
 * ends the process at once), SIGPIPE ignored, RLIMIT_NOFILE raised, libzmq context; then program->run.
 * Returns the exit status; a bad setting is one line on stderr and 2. Call it from main, before any thread.
 * SIGINT and SIGTERM are blocked in every thread: unblock them in a child before it executes another program. */
int process_main(const struct program *program, int argc, char **argv);

/* From now on SIGHUP does not end the process: with keys a broker reads its allowlist again. Before any thread;
 * process_main does it itself when --keys is said. */
void hangup_keep(void);

/* What a process gives to a program that it runs as a thread. Everything is borrowed while program_run runs. */
struct program_host {
    const struct log *log; /* file and level; lines carry the program's own name */
    void *bus_context;     /* of bus_context_new, or the host's own env->bus_context */
    int stop_fd;
    void (*ready)(struct env *env, const char *detail);
    void *owner; /* becomes env->owner */
};

/* As process_main but on the calling thread, with what the host gives; --log-level and --log-file are the host's.
 * Has metrics of its own. Config errors are told and returned as by process_main. Thread-safe. */
int program_run(const struct program *program, int argc, char **argv, const struct program_host *host);

/* A libzmq context with our limits; destroy waits until every socket in it is closed. */
void *bus_context_new(void);
void bus_context_destroy(void **self);

#endif
