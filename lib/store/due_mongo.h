/* What a durable subscriber keeps in MongoDB: how far it has read the event log, and things that are worked off as they
 * become due.
 *
 *     log_readers  {_id: READER, position, since}
 *     COLLECTION   {_id, due_at, NAME: {id, ..., next_at, ...}}     due_at only while the record has next_at
 *
 * A thing's id follows from its event, so that a page of the log that is taken twice makes nothing twice. */
#ifndef ZMART_STORE_DUE_MONGO_H
#define ZMART_STORE_DUE_MONGO_H

#include "lib/store/mongo.h"

struct due_kind {
    const char *collection;
    const char *name;
    const struct record *record; /* has id (TEXT) and next_at (TIME, OPT) */
};

struct due_claim {
    const bson_t *of;    /* equalities; NULL: of all */
    const char *then_by; /* path: orders what became due at one moment; NULL: nothing does */
    int64_t now_ms;      /* what is due */
    int64_t until_ms;    /* becomes due again then, unless it has ended */
    uint32_t limit;
};

/* ---- the log ---- */

/* 0 if nothing was stored. out_since_ms may be NULL; otherwise log_reader_begin was called, or it is INTERNAL. */
MUST_USE enum err log_reader_position(struct mongo_db *db, const char *reader, struct fault *fault, int64_t *out,
                                      int64_t *out_since_ms);
MUST_USE enum err log_reader_position_set(struct mongo_db *db, const char *reader, int64_t position,
                                          struct fault *fault);
/* Position 0, since now; the first one decides. */
MUST_USE enum err log_reader_begin(struct mongo_db *db, const char *reader, int64_t now_ms, struct fault *fault);

/* ---- things ---- */

/* Inserts, unless there is one of this id: then *out_new is false. */
MUST_USE enum err due_add(struct mongo_db *db, const struct due_kind *kind, const void *in, struct fault *fault,
                          bool *out_new);
/* In place of what is under its id. NOT_FOUND (the fault is left alone). */
MUST_USE enum err due_put(struct mongo_db *db, const struct due_kind *kind, const void *in, struct fault *fault);
/* What is due, longest first, and nobody else's before claim->until_ms. items has room for claim->limit. */
MUST_USE enum err due_claim(struct mongo_db *db, const struct due_kind *kind, const struct due_claim *claim,
                            struct arena *arena, struct fault *fault, void *items, uint32_t *out_count);

#endif
