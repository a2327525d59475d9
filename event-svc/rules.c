#include "event-svc/rules.h"

#include "lib/base/invariant.h"

enum { TYPE_MAX_SIZE = 60, DAY_MS = 24 * 60 * 60 * 1000 };

static bool is_type_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* A beginning of a type: what may stand before a pattern's '*'. */
static bool is_type_beginning(struct text text)
{
    if (text.size > TYPE_MAX_SIZE || (text.size > 0 && (text.data[0] == '_' || text.data[0] == '.'))) {
        return false;
    }
    for (uint32_t i = 0; i < text.size; i++) {
        if (!is_type_char(text.data[i]) || (i > 0 && text.data[i] == '.' && text.data[i - 1] == '.')) {
            return false;
        }
    }
    return true;
}

bool type_is_valid(struct text type)
{
    return type.size > 0 && is_type_beginning(type) && type.data[type.size - 1] != '.';
}

bool pattern_is_valid(struct text pattern)
{
    if (pattern.size > 0 && pattern.data[pattern.size - 1] == '*') {
        return is_type_beginning((struct text){pattern.data, pattern.size - 1});
    }
    return type_is_valid(pattern);
}

bool pattern_matches(struct text pattern, struct text type)
{
    if (pattern.size > 0 && pattern.data[pattern.size - 1] == '*') {
        uint32_t size = pattern.size - 1;
        return type.size >= size && (size == 0 || memcmp(type.data, pattern.data, size) == 0);
    }
    return text_equal(pattern, type);
}

bool patterns_match(const struct text_list *patterns, struct text type)
{
    for (uint32_t i = 0; i < patterns->count; i++) {
        if (pattern_matches(patterns->items[i], type)) {
            return true;
        }
    }
    return patterns->count == 0;
}

enum position position_check(int64_t after, int64_t oldest, int64_t head)
{
    if (after >= head) {
        return POSITION_AT_END;
    }
    return after < oldest - 1 ? POSITION_BEFORE_LOG : POSITION_SERVED;
}

int64_t position_to_publish(int64_t mark, int64_t head)
{
    int64_t least = head > EVENT_REPUBLISH_MAX ? head - EVENT_REPUBLISH_MAX : 0;
    if (mark > head) { /* the file was set back behind our mark */
        return head;
    }
    return mark < least ? least : mark;
}

int64_t retention_cutoff_ms(int64_t now_ms, int64_t retention_days)
{
    if (retention_days <= 0 || now_ms / DAY_MS < retention_days) {
        return 0;
    }
    return now_ms - retention_days * DAY_MS;
}

struct text topic_make(struct text type, char out[EVENT_TOPIC_SIZE])
{
    ASSERT(type.size > 0 && type.size + 1 < EVENT_TOPIC_SIZE);
    memcpy(out, type.data, type.size);
    out[type.size] = '.';
    return (struct text){out, type.size + 1};
}

void meta_make(const struct event_entry *entry, struct text stream, int64_t epoch, char time[CLOCK_TEXT_SIZE],
               struct event_meta *out)
{
    clock_format(entry->time, time);
    *out = (struct event_meta){
        .stream = stream,
        .epoch = epoch,
        .seq = entry->seq,
        .tseq = entry->tseq,
        .id = entry->id,
        .type = entry->type,
        .source = entry->source,
        .subject = entry->subject,
        .time = text_of(time),
        .specversion = TEXT("1.0"),
        .datacontenttype = TEXT("application/msgpack"),
    };
    if (has(event_entry, entry, traceparent)) {
        out->traceparent = entry->traceparent;
        set_has(event_meta, out, traceparent);
    }
}

void meta_make_head(const struct stream_head *head, int64_t now_ms, char time[CLOCK_TEXT_SIZE], struct event_meta *out)
{
    clock_format(now_ms, time);
    *out = (struct event_meta){
        .stream = head->stream,
        .epoch = head->epoch,
        .seq = head->seq,
        .type = TEXT("_head"),
        .source = TEXT("event-svc"),
        .time = text_of(time),
        .specversion = TEXT("1.0"),
        .datacontenttype = TEXT("application/msgpack"),
    };
}
