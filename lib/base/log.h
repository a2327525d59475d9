/* One JSON object a line. A log is passed, never global; libraries do not log, loops do, once per event.
 *
 *     log_info(log, "order.placed", KV_TEXT("order", id), KV_INT("ms", spent_ms));
 *
 * A line is one write(2), so that threads and processes can share a file. */
#ifndef ZMART_BASE_LOG_H
#define ZMART_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/text.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log {
    int fd;               /* borrowed */
    enum log_level level; /* lines below are not written */
    const char *program;  /* "gateway"; borrowed */
    int errors_fd;        /* errors go here too, as a line for people; 0: nowhere; borrowed */
};

struct kv {
    const char *key; /* NULL ends the list */
    enum { KV_KIND_TEXT, KV_KIND_INT, KV_KIND_BOOL } kind;
    struct text text;
    int64_t number;
};

#define KV_TEXT(name, value) ((struct kv){.key = (name), .kind = KV_KIND_TEXT, .text = (value)})
#define KV(name, string) KV_TEXT(name, text_of(string))
#define KV_INT(name, value) ((struct kv){.key = (name), .kind = KV_KIND_INT, .number = (value)})
#define KV_BOOL(name, value) ((struct kv){.key = (name), .kind = KV_KIND_BOOL, .number = (value)})
#define KV_END ((struct kv){.key = NULL})

enum { LOG_LINE_MAX_SIZE = 8 * 1024 };

/* list[0] holds the event's name, KV_END closes the list. Lines over LOG_LINE_MAX_SIZE are cut, and say so. */
void log_write(const struct log *log, enum log_level level, const struct kv *list);
/* The line that log_write would write, for those who write many together; errors_fd is not for them. line is empty and
 * may take LOG_LINE_MAX_SIZE. False if such a level is not written. */
MUST_USE bool log_format(const struct log *log, enum log_level level, const struct kv *list, struct buffer *line);
/* "debug", "info", "warn", "error" */
MUST_USE bool log_level_parse(struct text name, enum log_level *out);

#define LOG_LIST(event, ...) ((struct kv[]){KV("event", event), __VA_ARGS__})
#define log_debug(log, ...) log_write(log, LOG_DEBUG, LOG_LIST(__VA_ARGS__, KV_END))
#define log_info(log, ...) log_write(log, LOG_INFO, LOG_LIST(__VA_ARGS__, KV_END))
#define log_warn(log, ...) log_write(log, LOG_WARN, LOG_LIST(__VA_ARGS__, KV_END))
#define log_error(log, ...) log_write(log, LOG_ERROR, LOG_LIST(__VA_ARGS__, KV_END))

#endif
