/* What event-svc decides, without doing anything: which positions the log can still serve, what is published again
 * after a start, and what an entry looks like on PUB. */
#ifndef ZMART_EVENT_RULES_H
#define ZMART_EVENT_RULES_H

#include "lib/base/clock.h"
#include "proto/event.h"
#include "proto/pattern.h"

enum {
    EVENT_TOPIC_MAX = 64,         /* types that a stream tells in its beacon */
    EVENT_PAGE_DEFAULT = 100,     /* entries a page when the caller does not say */
    EVENT_PAGE_SIZE_MAX = 2 * 1024 * 1024, /* bytes of payload a page; one entry more may pass it */
    EVENT_REPUBLISH_MAX = 1000,   /* entries published again after a start; older ones are asked for */
    EVENT_PURGE_STEP = 500,       /* entries that one purge drops at most */
    EVENT_LEASE_MS = 4000         /* a holder of the lease who shows no life for so long has lost it */
};

/* What an onlooker knows of the lease. Each renewal changes beat, each change of hands fence. Nobody's clock is
 * compared with another's: the holder counts from before it asked for the renewal, the onlooker from when it has seen
 * it. */
struct lease_sight {
    bool seen;
    int64_t fence;
    int64_t beat;
    int64_t since_ms; /* since when the two have been the same; our own clock */
};
/* Whether the lease may be taken: nobody has it, or it was not renewed for EVENT_LEASE_MS while we looked. Remembers
 * what it is shown. */
bool lease_is_free(struct lease_sight *sight, bool is_held, int64_t fence, int64_t beat, int64_t now_ms);

enum position { POSITION_SERVED, POSITION_AT_END, POSITION_BEFORE_LOG };
/* oldest: seq of the oldest entry kept, head + 1 when there is none. AT_END: nothing is newer than after. */
enum position position_check(int64_t after, int64_t oldest, int64_t head);
/* Where publishing goes on after a start: from the stored mark, but at most EVENT_REPUBLISH_MAX entries back. */
int64_t position_to_publish(int64_t mark, int64_t head);
/* Entries older than this go; 0: none do. */
int64_t retention_cutoff_ms(int64_t now_ms, int64_t retention_days);

/* "order.placed" -> "order.placed."; the type must be valid. */
struct text topic_make(struct text type, char out[EVENT_TOPIC_SIZE]);
/* time is the buffer that out->time points into. */
void meta_make(const struct event_entry *entry, struct text stream, int64_t epoch, char time[CLOCK_TEXT_SIZE],
               struct event_meta *out);
/* Of a beacon: type _head, no id, seq = head. */
void meta_make_head(const struct stream_head *head, int64_t now_ms, char time[CLOCK_TEXT_SIZE], struct event_meta *out);

#endif
