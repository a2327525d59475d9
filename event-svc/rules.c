#include "event-svc/rules.h"

#include "lib/base/invariant.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };

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

bool lease_is_free(struct lease_sight *sight, bool is_held, int64_t fence, int64_t beat, int64_t now_ms)
{
    if (!sight->seen || sight->fence != fence || sight->beat != beat) {
        *sight = (struct lease_sight){true, fence, beat, now_ms};
    }
    return !is_held || now_ms - sight->since_ms >= EVENT_LEASE_MS;
}
