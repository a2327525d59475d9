#include "lib/base/log.h"

#include <unistd.h>

#include "lib/base/clock.h"

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

bool log_level_parse(struct text name, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(level_names); i++) {
        if (text_is(name, level_names[i])) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static bool pair_add(struct buffer *line, const struct kv *pair)
{
    bool added = buffer_add_char(line, ',') && buffer_add_json_string(line, text_of(pair->key)) &&
                 buffer_add_char(line, ':');
    switch (pair->kind) {
    case KV_KIND_TEXT: return added && buffer_add_json_string(line, pair->text);
    case KV_KIND_INT: return added && buffer_add_int(line, pair->number);
    case KV_KIND_BOOL: return added && buffer_add_string(line, pair->number ? "true" : "false");
    }
    return added;
}

/* "gateway: listen_failed: port=8080 cause=..." */
static void error_tell(const struct log *log, const struct kv *list)
{
    AUTO(buffer_release) struct buffer line;
    buffer_init(&line, LOG_LINE_MAX_SIZE);
    (void)buffer_printf(&line, "%s: %.*s", log->program, TEXT_ARG(list->text));
    for (const struct kv *pair = list + 1; pair->key; pair++) {
        (void)buffer_printf(&line, "%s%s=", pair == list + 1 ? ": " : " ", pair->key);
        if (pair->kind == KV_KIND_TEXT) {
            (void)buffer_add_json_string(&line, pair->text);
        } else {
            (void)buffer_add_int(&line, pair->number);
        }
    }
    line.size = line.size < LOG_LINE_MAX_SIZE ? line.size : LOG_LINE_MAX_SIZE - 1;
    (void)buffer_add_char(&line, '\n');
    ssize_t written = write(log->errors_fd, line.data, line.size);
    (void)written;
}

bool log_format(const struct log *log, enum log_level level, const struct kv *list, struct buffer *line)
{
    if (!log || level < log->level) {
        return false;
    }
    char time[CLOCK_TEXT_SIZE];
    clock_format(clock_wall_ms(), time);
    (void)(buffer_add_string(line, "{\"time\":\"") && buffer_add(line, time, CLOCK_TEXT_SIZE - 1) &&
           buffer_add_string(line, "\",\"level\":\"") && buffer_add_string(line, level_names[level]) &&
           buffer_add_string(line, "\",\"program\":\"") && buffer_add_string(line, log->program) &&
           buffer_add_char(line, '"'));
    for (const struct kv *pair = list; pair->key; pair++) {
        size_t size = line->size;
        /* room for what closes the line is kept free */
        if (!pair_add(line, pair) || line->size > LOG_LINE_MAX_SIZE - sizeof ",\"cut\":true}\n") {
            line->size = size;
            (void)buffer_add_string(line, ",\"cut\":true");
            break;
        }
    }
    return buffer_add_string(line, "}\n");
}

void log_write(const struct log *log, enum log_level level, const struct kv *list)
{
    AUTO(buffer_release) struct buffer line;
    buffer_init(&line, LOG_LINE_MAX_SIZE);
    if (!log_format(log, level, list, &line)) {
        return;
    }
    /* a full disk must not stop the shop: a line that cannot be written is lost */
    ssize_t written = write(log->fd, line.data, line.size);
    (void)written;
    if (level == LOG_ERROR && log->errors_fd > 0) {
        error_tell(log, list);
    }
}
