/* Records and BSON: a record is a document with a field of the same name for each of its own, walked by its table.
 *   INT, TIME, MONEY, DECIMAL  int64        TEXT, ENUM (its name)  string      BOOL  bool
 *   STRS, LIST                 array        REC                    document    RAW   binary
 * Absent fields are left out; unknown ones are skipped, so that versions mix. And small things of the same kind for
 * what is no record. Keys are NUL-terminated; libbson owns what a bson_t holds. */
#ifndef ZMART_STORE_BSON_RECORD_H
#define ZMART_STORE_BSON_RECORD_H

#include <bson/bson.h>

#include "proto/fault.h"
#include "proto/record.h"

/* ---- records ---- */

/* Appends the record's fields, in table order. */
void bson_put_fields(bson_t *to, const struct record *record, const void *in);
/* Appends the record as one document under this key. */
void bson_put_record(bson_t *to, const char *key, const struct record *record, const void *in);
/* Reads a whole document as a record; texts and lists are copied to the arena. INTERNAL (with a cause) if it cannot be
 * one: a field is missing, of another type or over its bounds. out is untouched then. */
MUST_USE enum err bson_read_record(const bson_t *from, const struct record *record, struct arena *arena,
                                   struct fault *fault, void *out);
/* The same of the document under this key. */
MUST_USE enum err bson_read_record_at(const bson_t *from, const char *key, const struct record *record,
                                      struct arena *arena, struct fault *fault, void *out);

/* ---- values ---- */

void bson_put_text(bson_t *to, const char *key, struct text value);
void bson_put_bytes(bson_t *to, const char *key, struct text value);
void bson_put_int(bson_t *to, const char *key, int64_t value);
void bson_put_bool(bson_t *to, const char *key, bool value);
void bson_put_texts(bson_t *to, const char *key, const struct text *values, uint32_t count); /* an array */

/* key may be a path ("a.b", "a.0.b"). False, and out untouched, if nothing of that type is there; int takes int32 too.
 * arena NULL: the text lies in the document. */
MUST_USE bool bson_get_text(const bson_t *from, const char *key, struct arena *arena, struct text *out);
MUST_USE bool bson_get_bytes(const bson_t *from, const char *key, struct arena *arena, struct text *out);
MUST_USE bool bson_get_int(const bson_t *from, const char *key, int64_t *out);
MUST_USE bool bson_get_bool(const bson_t *from, const char *key, bool *out);
/* A view of the document or array under the key, good as long as from. */
MUST_USE bool bson_get_document(const bson_t *from, const char *key, bson_t *out);

#endif
