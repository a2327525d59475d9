#include "lib/bus/main.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { BUS_MAX_SOCKETS = 8192, BUS_IO_THREADS = 1, INSTANCE_SIZE = 64, MESSAGE_SIZE = 512 };

void *bus_context_new(void)
{
    void *context = zmq_ctx_new();
    ASSERT(context != NULL);
    ASSERT(zmq_ctx_set(context, ZMQ_MAX_SOCKETS, BUS_MAX_SOCKETS) == 0);
    ASSERT(zmq_ctx_set(context, ZMQ_IO_THREADS, BUS_IO_THREADS) == 0);
    return context;
}

void bus_context_destroy(void **self)
{
    while (*self && zmq_ctx_term(*self) != 0 && zmq_errno() == EINTR) {
    }
    *self = NULL;
}

/* ---- settings ---- */

/* The program's settings and what follows from them. */
struct setup {
    const struct program *program;
    void *config; /* owned; its first member is the process's section */
    char instance[INSTANCE_SIZE];
    enum log_level level;
};

static void setup_release(struct setup *setup)
{
    mem_free(setup->config);
    setup->config = NULL;
}

static const struct process_config *setup_process(const struct setup *setup)
{
    return setup->config;
}

static int setup_refuse(const struct setup *setup, const char *message)
{
    fprintf(stderr, "%s: %s\n", setup->program->name, message);
    return PROCESS_BAD_CONFIG;
}

static bool version_asked(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            return true;
        }
    }
    return false;
}

/* Instances stand in logs, labels and frames: plain characters only. */
static bool instance_is_plain(const char *instance)
{
    for (const char *at = instance; *at; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
                     strchr("_.:-", *at) != NULL;
        if (!plain) {
            return false;
        }
    }
    return true;
}

static int setup_check(struct setup *setup)
{
    const struct process_config *process = setup_process(setup);
    if (!log_level_parse(text_of(process->log_level), &setup->level)) {
        return setup_refuse(setup, "--log-level takes debug, info, warn or error");
    }
    if (!instance_is_plain(process->instance)) {
        return setup_refuse(setup, "--instance takes letters, digits and _ . : -");
    }
    if (process->instance[0]) {
        snprintf(setup->instance, sizeof setup->instance, "%s", process->instance);
    } else {
        snprintf(setup->instance, sizeof setup->instance, "%.30s-%ld", setup->program->name, (long)getpid());
    }
    return PROCESS_OK;
}

/* False: *out_status is what the process is to end with (help and version were printed, errors told). */
static bool setup_load(struct setup *setup, int argc, char **argv, int *out_status)
{
    char message[MESSAGE_SIZE];
    const struct program *program = setup->program;
    if (version_asked(argc, argv)) {
        printf("%s %s\n", program->name, ZMART_VERSION);
        *out_status = PROCESS_OK;
        return false;
    }
    setup->config = mem_alloc(program->config_size);
    switch (config_load(program->config, argc, argv, setup->config, NULL, message, sizeof message)) {
    case CONFIG_OK: *out_status = setup_check(setup); return *out_status == PROCESS_OK;
    case CONFIG_HELP:
        config_print_help(program->config, stdout);
        *out_status = PROCESS_OK;
        return false;
    case CONFIG_BAD: *out_status = setup_refuse(setup, message); return false;
    }
    return false;
}

/* ---- a program in a host ---- */

static int setup_run(const struct setup *setup, const struct program_host *host)
{
    AUTO(metrics_destroy) struct metrics *metrics = metrics_new();
    struct log log = *host->log;
    log.program = setup->program->name;
    struct env env = {.log = &log,
                      .metrics = metrics,
                      .instance = setup->instance,
                      .bus_context = host->bus_context,
                      .stop_fd = host->stop_fd,
                      .ready = host->ready,
                      .owner = host->owner};
    return setup->program->run(setup->config, &env);
}

int program_run(const struct program *program, int argc, char **argv, const struct program_host *host)
{
    AUTO(setup_release) struct setup setup = {.program = program};
    int status;
    if (!setup_load(&setup, argc, argv, &status)) {
        return status;
    }
    return setup_run(&setup, host);
}

/* ---- a program as a process ---- */

enum { BEAT_EVERY_MS = 500 };

/* Turns signals into a readable file descriptor, on a thread of its own, which also tells the supervisor, once it has
 * been told that we are ready, that the process is not stopped. */
struct signals {
    int signal_fd;
    int stop_fd; /* eventfd */
    int done_fd; /* eventfd: the thread is to end */
    atomic_int beat_fd; /* where the supervisor listens; -1: nobody does, or not yet */
    pthread_t thread;
};

static void fd_raise(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    ASSERT(written == (ssize_t)sizeof one || errno == EAGAIN);
}

/* A full pipe is a supervisor that is slow or stopped; one that is gone takes us along anyway. */
static void beat(struct signals *signals)
{
    int fd = atomic_load(&signals->beat_fd);
    if (fd >= 0 && write(fd, "\n", 1) < 0 && errno != EAGAIN && errno != EINTR) {
        atomic_store(&signals->beat_fd, -1);
    }
}

/* Until one of these is readable. */
static void signals_sleep(struct signals *signals, struct pollfd *fds, nfds_t count)
{
    while (poll(fds, count, BEAT_EVERY_MS) <= 0) {
        beat(signals);
    }
}

static void *signals_watch(void *argument)
{
    struct signals *signals = argument;
    struct pollfd fds[] = {{.fd = signals->signal_fd, .events = POLLIN}, {.fd = signals->done_fd, .events = POLLIN}};
    struct signalfd_siginfo info;
    signals_sleep(signals, fds, ARRAY_COUNT(fds));
    if (read(signals->signal_fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return NULL;
    }
    fd_raise(signals->stop_fd);
    /* Whoever presses Ctrl-C again means it: from here on SIGINT does what it does by default. A second SIGTERM
     * stays blocked, because a supervisor's may come right behind the terminal's SIGINT. */
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
    signals_sleep(signals, &fds[1], 1);
    return NULL;
}

void hangup_keep(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    ASSERT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static void signals_open(struct signals *signals)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    ASSERT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    signals->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    signals->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    signals->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(signals->signal_fd >= 0 && signals->stop_fd >= 0 && signals->done_fd >= 0);
    ASSERT(pthread_create(&signals->thread, NULL, signals_watch, signals) == 0);
}

static void signals_close(struct signals *signals)
{
    fd_raise(signals->done_fd);
    pthread_join(signals->thread, NULL);
    close(signals->signal_fd);
    close(signals->stop_fd);
    close(signals->done_fd);
}

static void nofile_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The descriptor on which a supervisor waits for one line, and for beats after it; -1: there is none. */
static int supervisor_fd(void)
{
    int64_t fd;
    const char *name = getenv("ZMART_READY_FD");
    return name && text_to_int(text_of(name), &fd) && fd > STDERR_FILENO && fd <= INT_MAX ? (int)fd : -1;
}

static void process_ready(struct env *env, const char *detail)
{
    struct signals *signals = env->owner;
    int fd = supervisor_fd();
    log_info(env->log, "ready", KV("instance", env->instance), KV("detail", detail));
    if (fd >= 0) {
        dprintf(fd, "%s\n", detail ? detail : "");
        atomic_store(&signals->beat_fd, fd);
    }
}

/* Whether --keys is said: its section may stand anywhere in the settings. */
static bool keys_are_named(const struct setup *setup)
{
    const struct config_table *table = setup->program->config;
    for (size_t i = 0; i < table->section_count; i++) {
        const struct config_section *section = &table->sections[i];
        for (size_t j = 0; j < section->rows->row_count; j++) {
            const struct config_row *row = &section->rows->rows[j];
            if (strcmp(row->flag, "keys") == 0 && row->kind == CONFIG_STRING) {
                const char *value;
                memcpy(&value, (const char *)setup->config + section->offset + row->offset, sizeof value);
                return value && value[0];
            }
        }
    }
    return false;
}

static int process_run(const struct setup *setup, const struct log *log)
{
    struct signals signals = {.beat_fd = -1};
    if (keys_are_named(setup)) {
        hangup_keep();
    }
    signals_open(&signals);
    nofile_raise();
    void *context = bus_context_new();
    struct program_host host = {
        .log = log, .bus_context = context, .stop_fd = signals.stop_fd, .ready = process_ready, .owner = &signals};
    int status = setup_run(setup, &host);
    bus_context_destroy(&context);
    signals_close(&signals);
    return status;
}

int process_main(const struct program *program, int argc, char **argv)
{
    AUTO(argv_release) char **whole = argv_hide(argc, argv);
    AUTO(setup_release) struct setup setup = {.program = program};
    int status;
    if (!setup_load(&setup, argc, whole, &status)) {
        return status;
    }
    const char *path = setup_process(&setup)->log_file;
    struct log log = {.fd = STDERR_FILENO, .level = setup.level, .program = program->name};
    if (path[0]) {
        log.fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        log.errors_fd = STDERR_FILENO;
        if (log.fd < 0) {
            char message[MESSAGE_SIZE];
            snprintf(message, sizeof message, "--log-file %.200s cannot be opened: %s", path, strerror(errno));
            return setup_refuse(&setup, message);
        }
    }
    status = process_run(&setup, &log);
    if (log.fd != STDERR_FILENO) {
        close(log.fd);
    }
    return status;
}
