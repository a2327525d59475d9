/* Opaque page cursors: base64url of msgpack [fingerprint of the query, last row's values...]. A cursor is good for
 * ever, but only for the query that made it: same filters, same sort. */
#ifndef ZMART_STORE_CURSOR_H
#define ZMART_STORE_CURSOR_H

#include "proto/fault.h"
#include "proto/record.h"

enum { CURSOR_MAX_KEYS = 4 };

struct cursor_key {
    bool is_text;
    struct text text;
    int64_t number;
};

/* query: the request's record without limit and cursor decides what the cursor belongs to (fields named limit and
 * cursor are left out). The text is in the arena. */
struct text cursor_make(const struct record *query_record, const void *query, const struct cursor_key *keys,
                        int key_count, struct arena *arena);
/* BAD_CURSOR with a fault item for "cursor" if it is malformed, of another query, or has other kinds of keys. */
MUST_USE enum err cursor_read(const struct record *query_record, const void *query, struct text cursor,
                              const char *kinds, /* "ti": a text, then a number */
                              struct arena *arena, struct fault *fault, struct cursor_key *out);

#endif
