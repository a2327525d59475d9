/* One log line a request, many of them in one write: a write(2) each would cost more than most answers do.
 * Lines wait ACCESS_LOG_EVERY_MS at the most, so they can stand behind later lines of other kinds; each tells its time.
 * A process that is killed loses those of this last moment, one that ends loses none. */
#ifndef ZMART_GATEWAY_ACCESS_LOG_H
#define ZMART_GATEWAY_ACCESS_LOG_H

#include "lib/base/auto.h"
#include "lib/base/log.h"

enum {
    ACCESS_LOG_EVERY_MS = 100,
    ACCESS_LOG_FULL_SIZE = 32 * 1024, /* so much in one part is written at once */
    ACCESS_LOG_MAX_SIZE = 256 * 1024  /* of a part; when the file takes no more, callers wait for it themselves */
};

struct access_log;

/* The log is borrowed. When the system gives no thread, lines are written by their callers. */
struct access_log *access_log_new(const struct log *log);
/* Writes what waits. */
void access_log_destroy(struct access_log **self);
/* As log_write, a moment later. Thread-safe; writer is whatever belongs to the calling thread alone, and spreads the
 * threads over the parts. */
void access_log_add(struct access_log *self, const void *writer, enum log_level level, const struct kv *list);

#endif
