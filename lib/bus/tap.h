/* The outside's events (a broker's --events), read by one thread that waits: each once, gaps told. */
#ifndef ZMART_BUS_TAP_H
#define ZMART_BUS_TAP_H

#include "lib/base/mem.h"
#include "lib/base/process.h"
#include "lib/bus/stream.h"

enum { TAP_MAX_TOPICS = 16 };

struct tap_settings {
    const char *address;       /* tcp://HOST:PORT, ipc://PATH. Borrowed */
    const char *const *topics; /* NULL-terminated prefixes, each ending in a dot; none: all. Borrowed */
    const char *keys, *key;    /* folder of CURVE keys and the name of ours in it; empty: none are used */
};

struct event_tap;

enum tap_news { TAP_NOTHING, TAP_EVENT, TAP_BEACON };

/* Everything is good until the next call. */
struct tap_event {
    const struct event_meta *meta;
    struct text data; /* public payload; empty for a beacon */
    bool gap;         /* events before this one, or up to this beacon, were missed */
    bool restored;    /* the first of another epoch: the log was restored, or begun anew; a gap, too */
};

/* NULL: message says what to do. Nothing is connected yet. */
struct event_tap *tap_new(const struct env *env, const struct tap_settings *settings, char *message,
                          size_t message_size);
void tap_destroy(struct event_tap **self);
/* Waits for the next one, at most wait_ms (-1: without limit); garbage and repeats count as nothing. A line on which
 * nothing was heard for 3.5 beacons may be dead without having said so: it is opened anew, and that, too, counts as
 * nothing. */
enum tap_news tap_next(struct event_tap *self, int wait_ms, struct tap_event *out);

#endif
