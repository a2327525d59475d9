/* Preloaded into a program under test: moves its wall clock, and kills it at its N-th step.
 * ZMART_SHIM names a file that holds a struct shim; whoever writes to it is obeyed at once. A step is the beginning or
 * the end of a call that others can see: a commit (fsync, fdatasync), a message on the bus (zmq_send, zmq_msg_send). */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct shim {
    _Atomic int64_t wall_offset_s;
    _Atomic int64_t kill_after; /* steps; 0: never */
    _Atomic int64_t step_count;
    _Atomic int64_t sync_count;
    _Atomic int64_t sync_end_ns[64]; /* of the newest ones, CLOCK_MONOTONIC; the n-th stands at n modulo 64 */
};

static struct shim *shim_get(void)
{
    static _Atomic(struct shim *) known;
    struct shim *shim = atomic_load(&known);
    const char *path = getenv("ZMART_SHIM");
    if (!shim && path) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        shim = fd < 0 ? NULL : mmap(NULL, sizeof *shim, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd < 0 || shim == MAP_FAILED) {
            abort();
        }
        close(fd);
        atomic_store(&known, shim);
    }
    return shim;
}

/* ---- the wall clock ---- */

int clock_gettime(clockid_t clock, struct timespec *out)
{
    struct shim *shim = shim_get();
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    if (result == 0 && shim && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        out->tv_sec += atomic_load(&shim->wall_offset_s);
    }
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return result;
}

time_t time(time_t *out)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

/* ---- steps ---- */

static void step(void)
{
    struct shim *shim = shim_get();
    if (!shim) {
        return;
    }
    atomic_fetch_add(&shim->step_count, 1);
    if (atomic_load(&shim->kill_after) > 0 && atomic_fetch_sub(&shim->kill_after, 1) == 1) {
        kill(getpid(), SIGKILL);
    }
}

/* When a commit was durable. */
static void sync_note(void)
{
    struct shim *shim = shim_get();
    struct timespec now;
    if (shim) {
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
        int64_t at = atomic_load(&shim->sync_count);
        atomic_store(&shim->sync_end_ns[at % 64], now.tv_sec * INT64_C(1000000000) + now.tv_nsec);
        atomic_store(&shim->sync_count, at + 1);
    }
}

static void nothing_note(void)
{
}

/* As the function that is called, and a step before and after it. */
#define STEPPED(result_type, name, parameters, arguments, note)          \
    result_type name parameters                                          \
    {                                                                    \
        result_type(*real) parameters;                                   \
        *(void **)&real = dlsym(RTLD_NEXT, #name);                       \
        step();                                                          \
        result_type result = real arguments;                             \
        note();                                                          \
        step();                                                          \
        return result;                                                   \
    }

STEPPED(int, fsync, (int fd), (fd), sync_note)
STEPPED(int, fdatasync, (int fd), (fd), sync_note)
int zmq_send(void *socket, const void *data, size_t size, int flags);
int zmq_msg_send(void *message, void *socket, int flags);
STEPPED(int, zmq_send, (void *socket, const void *data, size_t size, int flags), (socket, data, size, flags), nothing_note)
STEPPED(int, zmq_msg_send, (void *message, void *socket, int flags), (message, socket, flags), nothing_note)
