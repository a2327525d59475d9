/* What could not be sent at once because a peer does not read: one bounded line a peer, sent in order as soon as the
 * peer takes it. One who has a line waits in it, whatever else is sent to them. */
#ifndef ZMART_BROKER_BACKLOG_H
#define ZMART_BROKER_BACKLOG_H

#include "broker/sends.h"
#include "broker/table.h"

enum { BACKLOG_KEY_MAX_SIZE = 1 + ROUTING_ID_MAX_SIZE };

struct backlog {
    uint8_t key[BACKLOG_KEY_MAX_SIZE]; /* plane, routing id */
    struct send *list;
    size_t first, end, capacity; /* list[first..end) waits */
    size_t size;                 /* bytes of the parcels */
    int64_t moved_us;            /* when it last became shorter */
    UT_hash_handle hh;
};

struct backlogs {
    struct backlog *by_peer;
    size_t count_max, size_max; /* of one peer */
    int64_t age_max_us;         /* without any progress */
};

/* NULL if this peer has none. */
struct backlog *backlog_find(const struct backlogs *self, const struct send *send);
/* Moves send to the end of its peer's line, which is made if need be; false (send is as it was) when the line is full.
 */
MUST_USE bool backlog_add(struct backlogs *self, struct send *send, int64_t now_us);
/* The first in line; NULL when the line is empty. */
struct send *backlog_first(struct backlog *backlog);
/* It has been sent; size is its send_size of before. */
void backlog_pop(struct backlog *backlog, size_t size, int64_t now_us);
bool backlog_is_stuck(const struct backlogs *self, const struct backlog *backlog, int64_t now_us);
void backlog_remove(struct backlogs *self, struct backlog *backlog);
void backlogs_release(struct backlogs *self);
size_t backlogs_count(const struct backlogs *self);

#endif
