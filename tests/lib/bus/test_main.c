/* A program as a process: this file executes itself as one. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"
#include "tests/lib/bus/rig.h"

/* ---- the program ---- */

#define PROBE_CONFIG(X)                                                                                                \
    X(NUMBER, number, "number", "3", 1, 10, "what it returns, if not 3")                                               \
    X(SWITCH, stubborn, "stubborn", "no", 0, 0, "never ends by itself")
CONFIG_DECLARE(probe_config, PROBE_CONFIG);
CONFIG_DEFINE(probe_config, PROBE_CONFIG)

struct probe {
    struct process_config process;
    struct probe_config probe;
};

static int probe_run(const void *config, struct env *env)
{
    const struct probe *probe = config;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    void *socket = zmq_socket(env->bus_context, ZMQ_DEALER);
    bool good = socket && limit.rlim_cur == limit.rlim_max && !env_stopping(env);
    zmq_close(socket);
    metric_add(metrics_get(env->metrics, METRIC_COUNTER, "probe", "", ""), 1);
    good = good && metric_value(metrics_get(env->metrics, METRIC_COUNTER, "probe", "", "")) == 1;
    raise(SIGPIPE); /* changes nothing */
    env->ready(env, env->instance);
    struct pollfd stop = {.fd = env->stop_fd, .events = POLLIN};
    while (poll(&stop, 1, -1) != 1) {
    }
    log_info(env->log, "stopping", KV("instance", env->instance));
    while (probe->probe.stubborn) {
        pause();
    }
    return !good ? 99 : probe->probe.number == 3 ? 0 : (int)probe->probe.number;
}

static const struct config_section sections[] = {
    {"process", &process_config_rows, offsetof(struct probe, process)},
    {"probe", &probe_config_rows, offsetof(struct probe, probe)},
};
static const struct config_table table = {
    .program = "probe", .summary = "is looked at", .usage = "[flags]", .sections = sections, .section_count = 2};
static const struct program probe_program = {"probe", &table, sizeof(struct probe), probe_run};

/* ---- running it ---- */

struct child {
    pid_t pid;
    int output; /* both streams of it */
    char text[8192];
    size_t size;
};

static void child_start(struct child *child, const char *const *flags)
{
    int ends[2];
    const char *argv[12] = {"probe"};
    for (int i = 0; flags[i]; i++) {
        argv[i + 1] = flags[i];
    }
    *child = (struct child){0};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child->pid = fork();
    assert_true(child->pid >= 0);
    if (child->pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        execv("/proc/self/exe", (char **)(uintptr_t)argv);
        _exit(127);
    }
    close(ends[1]);
    child->output = ends[0];
}

static bool child_read(struct child *child)
{
    ssize_t size = read(child->output, child->text + child->size, sizeof child->text - 1 - child->size);
    child->size += size > 0 ? (size_t)size : 0;
    child->text[child->size] = '\0';
    return size > 0;
}

static void child_expect(struct child *child, const char *words)
{
    while (!strstr(child->text, words)) {
        assert_true(child_read(child));
    }
}

static int child_end(struct child *child)
{
    int status;
    while (child_read(child)) {
    }
    close(child->output);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int child_run(struct child *child, const char *const *flags)
{
    child_start(child, flags);
    return child_end(child);
}

#define FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static int line_count(const char *text)
{
    int count = 0;
    for (; *text; text++) {
        count += *text == '\n';
    }
    return count;
}

/* ---- tests ---- */

static void test_help_and_version(void **state)
{
    (void)state;
    struct child child;
    assert_int_equal(child_run(&child, FLAGS("--help")), 0);
    assert_non_null(strstr(child.text, "--number"));
    assert_non_null(strstr(child.text, "ZMART_LOG_LEVEL"));
    assert_int_equal(child_run(&child, FLAGS("--number", "77", "--version")), 0);
    assert_string_equal(child.text, "probe " ZMART_VERSION "\n");
}

static void test_bad_settings(void **state)
{
    (void)state;
    static const char *const bad[][3] = {{"--number", "11", "--number"},
                                         {"--nonsense", "1", "--nonsense"},
                                         {"--log-level", "loud", "--log-level"},
                                         {"--instance", "a b", "--instance"},
                                         {"--log-file", "/nowhere/log", "/nowhere/log"}};
    struct child child;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_equal(child_run(&child, FLAGS(bad[i][0], bad[i][1])), PROCESS_BAD_CONFIG);
        assert_non_null(strstr(child.text, bad[i][2]));
        assert_int_equal(strncmp(child.text, "probe: ", 7), 0);
        assert_int_equal(line_count(child.text), 1);
    }
}

static void test_signals(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    struct child child;
    for (size_t i = 0; i < ARRAY_COUNT(signals); i++) {
        child_start(&child, FLAGS("--number", "5"));
        child_expect(&child, "\"ready\"");
        assert_non_null(strstr(child.text, "\"program\":\"probe\""));
        kill(child.pid, signals[i]);
        assert_int_equal(child_end(&child), 5);
        assert_non_null(strstr(child.text, "\"stopping\""));
    }
}

static void test_second_interrupt(void **state)
{
    (void)state;
    struct child child;
    child_start(&child, FLAGS("--stubborn"));
    child_expect(&child, "\"ready\"");
    kill(child.pid, SIGTERM);
    child_expect(&child, "\"stopping\"");
    kill(child.pid, SIGTERM); /* a supervisor's may come on top of the terminal's: it changes nothing */
    kill(child.pid, SIGINT);
    assert_int_equal(child_end(&child), -SIGINT);
}

static void test_log_file(void **state)
{
    (void)state;
    struct child child;
    char path[] = "/tmp/zmart-test-XXXXXX";
    char line[1024];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    child_start(&child, FLAGS("--log-file", path, "--instance", "one-1", "--log-level", "debug"));
    ssize_t size = 0;
    RIG_WAIT((size = pread(fd, line, sizeof line - 1, 0)) > 0);
    line[size] = '\0';
    assert_non_null(strstr(line, "one-1"));
    kill(child.pid, SIGTERM);
    assert_int_equal(child_end(&child), 0);
    assert_string_equal(child.text, "");
    close(fd);
    unlink(path);
}

/* ---- as threads ---- */

struct hosted {
    struct rig_env rig;
    struct program_host host;
    const char *number;
    int status;
    pthread_t thread;
};

static void *hosted_run(void *argument)
{
    struct hosted *hosted = argument;
    const char *argv[] = {"probe", "--number", hosted->number, "--instance", "hosted", NULL};
    hosted->status = program_run(&probe_program, 5, (char **)(uintptr_t)argv, &hosted->host);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct hosted hosted[2];
    static const char *const numbers[] = {"4", "6"};
    void *context = bus_context_new();
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 2; i++) {
        rig_env_open(&hosted[i].rig, context, "", "host");
        hosted[i].host = (struct program_host){.log = &hosted[i].rig.log,
                                               .bus_context = context,
                                               .stop_fd = hosted[i].rig.stop_fd,
                                               .ready = hosted[i].rig.env.ready,
                                               .owner = &hosted[i].rig};
        hosted[i].number = numbers[i];
        assert_int_equal(pthread_create(&hosted[i].thread, NULL, hosted_run, &hosted[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sem_wait(&hosted[i].rig.ready), 0);
        uint64_t one = 1;
        assert_int_equal(write(hosted[i].rig.stop_fd, &one, sizeof one), sizeof one);
        pthread_join(hosted[i].thread, NULL);
        assert_int_equal(hosted[i].status, i == 0 ? 4 : 6);
        rig_env_close(&hosted[i].rig);
    }
    bus_context_destroy(&context);
    assert_null(context);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        return process_main(&probe_program, argc, argv);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_and_version), cmocka_unit_test(test_bad_settings), cmocka_unit_test(test_signals),
        cmocka_unit_test(test_second_interrupt), cmocka_unit_test(test_log_file),     cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
