/* The newest events of the stream, so that whoever catches up from the log finds what came meanwhile. One thread. */
#ifndef ZMART_GATEWAY_WS_RECENT_H
#define ZMART_GATEWAY_WS_RECENT_H

#include "gateway/ws_message.h"

enum { WS_RECENT_COUNT = 1024, WS_RECENT_SIZE = 8 * 1024 * 1024 };

/* All zero is empty, and reaches back to everything that was heard. */
struct ws_recent {
    struct ws_message *items[WS_RECENT_COUNT]; /* a ring, oldest at first */
    uint32_t first, count;
    int64_t size;  /* bytes */
    int64_t since; /* events after this seq are all here */
};

/* Keeps a reference of its own; the oldest make room. */
void ws_recent_add(struct ws_recent *self, struct ws_message *event);
/* Drops all. What comes next is kept again. */
void ws_recent_clear(struct ws_recent *self);
/* Whether no event newer than seq is missing here. */
bool ws_recent_reaches(const struct ws_recent *self, int64_t seq);
/* The oldest that is newer than seq, borrowed; NULL if there is none. */
struct ws_message *ws_recent_next(const struct ws_recent *self, int64_t seq);

#endif
