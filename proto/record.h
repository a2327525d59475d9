/* Records: a field list declared once makes the struct, its bounds and its field table, and every codec
 * (msgpack here, JSON in gateway, rows and BSON in lib/store) walks that table.
 *
 *     #define PRODUCT_REF_FIELDS(F, R) \
 *         F(R, TEXT, id, REQ, 1, 40, none, "the product's id")
 *     RECORD_DECLARE(product_ref, PRODUCT_REF_FIELDS);      in the header
 *     RECORD_DEFINE(product_ref, PRODUCT_REF_FIELDS)        in the .c file
 *
 * Columns: kind, name, flags, min, max, sub, prose.
 *   TEXT     struct text, UTF-8; min..max code points                         sub: none
 *   INT      int64_t; min..max                                               sub: none
 *   BOOL     bool                                                            sub: none
 *   TIME     int64_t, ms since 1970 UTC; JSON: RFC 3339                      sub: none
 *   MONEY    int64_t minor units of the record's (or outer record's) `currency`; JSON: number in major units
 *   DECIMAL  int64_t in 1/10000; an amount in major units whose currency is not known yet; JSON: number
 *   ENUM     enum SUB; on every wire its name                                sub: enum list's name
 *   STRS     struct text_list; each min..max code points                     sub: most items (a number)
 *   LIST     { struct SUB *items; uint32_t count; }; min..max items          sub: record's name
 *   REC      struct SUB *, NULL when absent                                  sub: record's name
 *   RAW      struct text, one well-formed msgpack value carried unread; min..max bytes; never in JSON
 * Texts, lists and nested records point into an arena or into the decoded bytes: a record owns nothing.
 * OPT fields are present when has(record, field); REQ fields always are. JSON null means absent, but for NOT_NULL. */
#ifndef ZMART_PROTO_RECORD_H
#define ZMART_PROTO_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "proto/errors.h"

struct fault;
struct record;

enum field_kind {
    FIELD_TEXT, FIELD_INT, FIELD_BOOL, FIELD_TIME, FIELD_MONEY, FIELD_DECIMAL, FIELD_ENUM, FIELD_STRS,
    FIELD_LIST, FIELD_REC, FIELD_RAW
};

enum field_flags {
    OPT = 0,
    REQ = 1,
    SECRET = 2, /* never in a log, a dead letter or a stored request */
    LINE = 4,    /* TEXT without control characters */
    NOT_NULL = 8 /* OPT, and a JSON null is refused: in edits it would look like a change */
};

enum {
    RECORD_MAX_DEPTH = 16,
    RECORD_MAX_FIELDS = 63,
    LIST_MAX_SIZE = 2 * 1024 * 1024 /* packed rows of a page: with one row more it fits a reply's body */
};

struct text_list {
    struct text *items;
    uint32_t count;
};

struct enum_names {
    const char *const *names; /* by value; NULL where a value has no name */
    int count;
};

struct field {
    const char *name;
    uint32_t name_size; /* bytes */
    enum field_kind kind;
    unsigned flags;
    size_t offset;
    int64_t min, max;
    const struct record *record;    /* LIST, REC */
    const struct enum_names *names; /* ENUM */
    uint32_t count_max;             /* STRS */
    const char *prose;
};

struct record {
    const char *name;
    size_t size; /* of the struct */
    const struct field *fields;
    uint32_t field_count;
};

/* Decodes exactly one map that fills bytes. Unknown keys are skipped; duplicate keys, wrong types, values over
 * a bound, bad UTF-8, depth over RECORD_MAX_DEPTH and trailing bytes are INVALID_BODY with a JSON pointer.
 * Texts in out point into bytes; lists and nested records into arena. out is untouched on failure. */
MUST_USE enum err record_unpack(const struct record *record, struct text bytes, struct arena *arena,
                                struct fault *fault, void *out);
/* Appends the record as one map with named keys in table order, absent fields left out. A value over its bound
 * is our bug (asserted). False only when out's maximum is reached. */
MUST_USE bool record_pack(const struct record *record, const void *in, struct buffer *out);
/* As record_pack into memory of the arena. */
struct text record_pack_in(const struct record *record, const void *in, struct arena *arena);
/* At least the bytes that record_pack writes, and mostly not many more. */
size_t record_size(const struct record *record, const void *in);
/* How many of the records one list may hold, from the first on: as many as begin below LIST_MAX_SIZE, so the last one
 * may pass it. Whoever is given fewer than there are has a next page. */
uint32_t records_fit(const struct record *record, const void *items, uint32_t count);
/* Checks bounds and presence of a record that was filled by other means (query strings, JSON). Adds one item a bad
 * field to the fault, with pointers below prefix ("" or "/items/0"); returns code, or NONE if all is well. */
MUST_USE enum err record_check(const struct record *record, const void *in, enum err code, struct fault *fault);
/* One message for one field out of bounds, as record_check words it. */
MUST_USE bool field_check_text(const struct field *field, struct text value, char *message, size_t size);
MUST_USE bool field_check_int(const struct field *field, int64_t value, char *message, size_t size);

static inline struct text field_name(const struct field *field)
{
    return (struct text){field->name, field->name_size};
}
/* NULL if there is none of that name. */
const struct field *record_field(const struct record *record, struct text name);
/* Presence by table index (field - record->fields). */
bool record_has(const void *in, uint32_t index);
void record_set_has(void *out, uint32_t index);
/* Address of the field's member. */
void *field_at(const struct field *field, void *in);
const void *field_in(const struct field *field, const void *in);
/* The name of an enum's value, or NULL. */
const char *enum_name(const struct enum_names *names, int value);
MUST_USE bool enum_find(const struct enum_names *names, struct text name, int *out);

/* ---- declaring ---- */
#define FIELD_MEMBER_TEXT(name, sub) struct text name;
#define FIELD_MEMBER_INT(name, sub) int64_t name;
#define FIELD_MEMBER_BOOL(name, sub) bool name;
#define FIELD_MEMBER_TIME(name, sub) int64_t name;
#define FIELD_MEMBER_MONEY(name, sub) int64_t name;
#define FIELD_MEMBER_DECIMAL(name, sub) int64_t name;
#define FIELD_MEMBER_ENUM(name, sub) enum sub name;
#define FIELD_MEMBER_STRS(name, sub) struct text_list name;
#define FIELD_MEMBER_LIST(name, sub) struct { struct sub *items; uint32_t count; } name;
#define FIELD_MEMBER_REC(name, sub) struct sub *name;
#define FIELD_MEMBER_RAW(name, sub) struct text name;
#define FIELD_SUB_TEXT(sub) .count_max = 0
#define FIELD_SUB_INT(sub) .count_max = 0
#define FIELD_SUB_BOOL(sub) .count_max = 0
#define FIELD_SUB_TIME(sub) .count_max = 0
#define FIELD_SUB_MONEY(sub) .count_max = 0
#define FIELD_SUB_DECIMAL(sub) .count_max = 0
#define FIELD_SUB_ENUM(sub) .names = &sub##_names
#define FIELD_SUB_STRS(sub) .count_max = sub
#define FIELD_SUB_LIST(sub) .record = &sub##_record
#define FIELD_SUB_REC(sub) .record = &sub##_record
#define FIELD_SUB_RAW(sub) .count_max = 0

#define FIELD_MEMBER(R, kind, name, flags, min, max, sub, prose) FIELD_MEMBER_##kind(name, sub)
#define FIELD_INDEX(R, kind, name, flags, min, max, sub, prose) R##_at_##name,
#define FIELD_ROW(R, kind_, name_, flags_, min_, max_, sub, prose_)                                  \
    {.name = #name_, .name_size = sizeof #name_ - 1, .kind = FIELD_##kind_, .flags = flags_, .offset = offsetof(struct R, name_), \
     .min = min_, .max = max_, FIELD_SUB_##kind_(sub), .prose = prose_},

/* The presence bits come first, so that generic code finds them at offset 0. */
#define RECORD_DECLARE(R, FIELDS)                        \
    struct R {                                           \
        uint64_t present;                                \
        FIELDS(FIELD_MEMBER, R)                          \
    };                                                   \
    enum { FIELDS(FIELD_INDEX, R) R##_field_count };     \
    extern const struct record R##_record
#define RECORD_DEFINE(R, FIELDS)                                                              \
    static const struct field R##_fields[] = {FIELDS(FIELD_ROW, R)};                          \
    _Static_assert((int)R##_field_count <= (int)RECORD_MAX_FIELDS, "presence bits");                    \
    const struct record R##_record = {#R, sizeof(struct R), R##_fields, R##_field_count};

/* has(order_new, in, note): was the optional field given?  set_has(order, out, note): it is now. */
#define has(R, in, field) (((in)->present >> R##_at_##field & 1) != 0)
#define set_has(R, out, field) ((out)->present |= UINT64_C(1) << R##_at_##field)

#define ENUM_VALUE(value, name) value,
#define ENUM_NAME(value, name) [value] = name,
#define ENUM_DECLARE(E, LIST) \
    enum E { LIST(ENUM_VALUE) E##_count }; \
    extern const struct enum_names E##_names
#define ENUM_DEFINE(E, LIST)                                          \
    static const char *const E##_name_list[] = {LIST(ENUM_NAME)};     \
    const struct enum_names E##_names = {E##_name_list, E##_count};

#endif
