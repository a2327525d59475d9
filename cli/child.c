#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/backoff.h"

enum { CHILD_READY_FD = 3 };

bool child_executable(const char *name, char *out, size_t out_size)
{
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size <= 0) {
        return false;
    }
    self[size] = '\0';
    int folder_size = (int)(strrchr(self, '/') - self);
    int length = snprintf(out, out_size, "%.*s/%s", folder_size, self, name);
    if (length > 0 && (size_t)length < out_size && access(out, X_OK) == 0) {
        return true;
    }
    length = snprintf(out, out_size, "%.*s/../%s/%s", folder_size, self, name, name);
    return length > 0 && (size_t)length < out_size && access(out, X_OK) == 0;
}

/* Between fork and exec, in the child. */
static void child_become(const struct child *child, const char *executable, pid_t parent, int ready_fd)
{
    sigset_t none;
    sigemptyset(&none);
    (void)setpgid(0, 0); /* Ctrl-C is the supervisor's: it stops children in order */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(127);
    }
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        _exit(127);
    }
    if (ready_fd == CHILD_READY_FD) {
        (void)fcntl(ready_fd, F_SETFD, 0);
    } else if (dup2(ready_fd, CHILD_READY_FD) < 0) {
        _exit(127);
    }
    (void)setenv("ZMART_READY_FD", "3", 1);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    execv(executable, child->argv.items);
    dprintf(STDERR_FILENO, "zmart: %s cannot be executed: %s\n", executable, strerror(errno));
    _exit(127);
}

bool child_start(struct child *child, const char *executable, int64_t now_ms)
{
    int fds[2];
    pid_t parent = getpid();
    if (pipe2(fds, O_CLOEXEC) != 0) {
        shop_refuse("no pipe for %s: %s", room_name(child->id), strerror(errno));
        return false;
    }
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(fds[1], F_SETFL, O_NONBLOCK); /* a beat is never waited for */
    pid_t pid = fork();
    if (pid == 0) {
        child_become(child, executable, parent, fds[1]);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        shop_refuse("no process for %s: %s", room_name(child->id), strerror(errno));
        return false;
    }
    child->pid = pid;
    child->ready_fd = fds[0];
    child->ready = false;
    child->started_ms = child->heard_ms = now_ms;
    return true;
}

static void ready_close(struct child *child)
{
    if (child->ready_fd >= 0) {
        close(child->ready_fd);
        child->ready_fd = -1;
    }
}

bool child_listen(struct child *child, int64_t now_ms)
{
    char line[SHOP_DETAIL_SIZE];
    ssize_t size = read(child->ready_fd, line, sizeof line - 1);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (size <= 0) {
        ready_close(child);
        return false;
    }
    child->heard_ms = now_ms;
    if (child->ready) {
        return false; /* a beat */
    }
    line[size] = '\0';
    line[strcspn(line, "\n")] = '\0'; /* the line is one write */
    memcpy(child->detail, line, strlen(line) + 1);
    child->ready = true;
    return true;
}

int64_t child_overdue_ms(const struct child *child, int64_t silence_ms)
{
    return child->ready ? child->heard_ms + silence_ms : child->started_ms + SHOP_START_MS;
}

void child_ended(struct child *child, int64_t now_ms)
{
    ready_close(child);
    child->crash_count = backoff_count(child->crash_count, now_ms - child->started_ms, child->ready);
    child->restart_at_ms = now_ms + backoff_delay_ms(child->crash_count);
    child->pid = 0;
    child->ready = false;
}

void child_release(struct child *child)
{
    ready_close(child);
    words_release(&child->argv);
}
