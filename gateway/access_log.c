#include "gateway/access_log.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/invariant.h"
#include "lib/base/lock.h"
#include "lib/base/mem.h"

enum { PARTS = 8, PIECE_SIZE = 64 * 1024 };

struct part {
    pthread_mutex_t lock;
    struct buffer lines; /* guarded by lock */
};

struct access_log {
    const struct log *log;
    struct part parts[PARTS];
    pthread_t thread;
    bool threaded;
    struct buffer leaving; /* the thread's own */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop, full; /* guarded by lock */
};

/* A pipe takes so much at once without mixing it with what others write; a file takes anything. */
static size_t piece_size_of(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) ? PIECE_SIZE : PIPE_BUF;
}

/* As many whole lines as fit, or a single one that does not. */
static size_t piece_end(const char *lines, size_t size, size_t max)
{
    if (size <= max) {
        return size;
    }
    size_t end = max;
    while (end > 0 && lines[end - 1] != '\n') {
        end--;
    }
    while (end == 0 || lines[end - 1] != '\n') {
        end++;
    }
    return end;
}

/* A full disk must not stop the shop: what cannot be written is lost. */
static void lines_write(int fd, const char *lines, size_t size)
{
    size_t max = piece_size_of(fd);
    while (size > 0) {
        size_t end = piece_end(lines, size, max);
        ssize_t written = write(fd, lines, end);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        size_t gone = written > 0 ? (size_t)written : end;
        lines += gone;
        size -= gone;
    }
}

static void part_write(struct access_log *self, struct part *part)
{
    ASSERT(pthread_mutex_lock(&part->lock) == 0);
    struct buffer full = part->lines;
    part->lines = self->leaving;
    ASSERT(pthread_mutex_unlock(&part->lock) == 0);
    lines_write(self->log->fd, full.data, full.size);
    buffer_clear(&full);
    self->leaving = full;
}

static void parts_write(struct access_log *self)
{
    for (int i = 0; i < PARTS; i++) {
        part_write(self, &self->parts[i]);
    }
}

static void *writer_run(void *argument)
{
    struct access_log *self = argument;
    bool stop = false;
    while (!stop) {
        struct timespec until = condition_after(ACCESS_LOG_EVERY_MS);
        int result = 0;
        ASSERT(pthread_mutex_lock(&self->lock) == 0);
        while (!self->stop && !self->full && result == 0) {
            result = pthread_cond_timedwait(&self->wake, &self->lock, &until);
        }
        stop = self->stop;
        self->full = false;
        ASSERT(pthread_mutex_unlock(&self->lock) == 0);
        parts_write(self);
    }
    return NULL;
}

struct access_log *access_log_new(const struct log *log)
{
    struct access_log *self = mem_alloc(sizeof *self);
    self->log = log;
    buffer_init(&self->leaving, ACCESS_LOG_MAX_SIZE);
    for (int i = 0; i < PARTS; i++) {
        lock_init(&self->parts[i].lock);
        buffer_init(&self->parts[i].lines, ACCESS_LOG_MAX_SIZE);
    }
    lock_init(&self->lock);
    condition_init(&self->wake);
    self->threaded = pthread_create(&self->thread, NULL, writer_run, self) == 0;
    return self;
}

void access_log_destroy(struct access_log **self_p)
{
    struct access_log *self = *self_p;
    if (!self) {
        return;
    }
    if (self->threaded) {
        ASSERT(pthread_mutex_lock(&self->lock) == 0);
        self->stop = true;
        pthread_cond_signal(&self->wake);
        ASSERT(pthread_mutex_unlock(&self->lock) == 0);
        pthread_join(self->thread, NULL);
    }
    for (int i = 0; i < PARTS; i++) {
        buffer_release(&self->parts[i].lines);
        pthread_mutex_destroy(&self->parts[i].lock);
    }
    buffer_release(&self->leaving);
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->lock);
    mem_free(self);
    *self_p = NULL;
}

static void writer_wake(struct access_log *self)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    self->full = true;
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    pthread_cond_signal(&self->wake);
}

static struct part *part_of(struct access_log *self, const void *writer)
{
    uint64_t hash = (uint64_t)(uintptr_t)writer * 0x9e3779b97f4a7c15U;
    return &self->parts[(hash >> 32) % PARTS];
}

void access_log_add(struct access_log *self, const void *writer, enum log_level level, const struct kv *list)
{
    AUTO(buffer_release) struct buffer line;
    buffer_init(&line, LOG_LINE_MAX_SIZE);
    if (!log_format(self->log, level, list, &line)) {
        return;
    }
    struct part *part = part_of(self, writer);
    ASSERT(pthread_mutex_lock(&part->lock) == 0);
    size_t before = part->lines.size;
    bool waits = self->threaded && buffer_add(&part->lines, line.data, line.size);
    ASSERT(pthread_mutex_unlock(&part->lock) == 0);
    if (!waits) {
        lines_write(self->log->fd, line.data, line.size);
    } else if (before < ACCESS_LOG_FULL_SIZE && before + line.size >= ACCESS_LOG_FULL_SIZE) {
        writer_wake(self);
    }
}
