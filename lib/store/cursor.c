#include "lib/store/cursor.h"

#include <sodium.h>

#include "lib/base/invariant.h"
#include "proto/ident.h"
#include "proto/pack.h"
#include "proto/wire.h"

enum { CURSOR_MAX_SIZE = 750, CURSOR_TEXT_MAX_SIZE = 1001, QUERY_MARK_SIZE = 12 };

/* A short mark of which query it is, and of everything in it but limit and cursor. */
static struct text query_mark(const struct record *record, const void *query, struct arena *arena)
{
    void *copy = arena_copy(arena, query, record->size);
    uint64_t present;
    memcpy(&present, copy, sizeof present);
    for (uint32_t i = 0; i < record->field_count; i++) {
        struct text name = text_of(record->fields[i].name);
        if (text_is(name, "limit") || text_is(name, "cursor")) {
            present &= ~(UINT64_C(1) << i);
        }
    }
    memcpy(copy, &present, sizeof present);
    struct text name = text_of(record->name);
    struct text packed = record_pack_in(record, copy, arena);
    char *marked = arena_alloc(arena, name.size + packed.size);
    memcpy(marked, name.data, name.size);
    memcpy(marked + name.size, packed.data, packed.size);
    char fingerprint[FINGERPRINT_SIZE];
    fingerprint_make((struct text){marked, name.size + packed.size}, fingerprint);
    return (struct text){arena_copy(arena, fingerprint, QUERY_MARK_SIZE), QUERY_MARK_SIZE};
}

struct text cursor_make(const struct record *query_record, const void *query, const struct cursor_key *keys,
                        int key_count, struct arena *arena)
{
    AUTO(buffer_release) struct buffer packed;
    buffer_init(&packed, CURSOR_MAX_SIZE);
    ASSERT(key_count >= 1 && key_count <= CURSOR_MAX_KEYS);
    bool fits =
        pack_array(&packed, (uint32_t)key_count + 1) && pack_text(&packed, query_mark(query_record, query, arena));
    for (int i = 0; i < key_count; i++) {
        fits = fits && (keys[i].is_text ? pack_text(&packed, keys[i].text) : pack_int(&packed, keys[i].number));
    }
    ASSERT(fits);
    char *text = arena_alloc(arena, CURSOR_TEXT_MAX_SIZE);
    ASSERT(sodium_bin2base64(text, CURSOR_TEXT_MAX_SIZE, (const unsigned char *)packed.data, packed.size,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) != NULL);
    return text_of(text);
}

static enum err refused(struct fault *fault)
{
    fault_add(fault, "/cursor", "bad_cursor", -1, "is not a cursor of this query");
    return fault_set(fault, ERR_BAD_CURSOR, NULL);
}

static bool key_read(struct wire *wire, char kind, struct arena *arena, struct cursor_key *out)
{
    out->is_text = kind == 't';
    if (!out->is_text) {
        return wire_read_int(wire, &out->number);
    }
    struct text text;
    if (!wire_read_text(wire, &text) || !text_is_utf8(text)) {
        return false;
    }
    out->text = (struct text){arena_copy(arena, text.data, text.size), text.size};
    return true;
}

enum err cursor_read(const struct record *query_record, const void *query, struct text cursor, const char *kinds,
                     struct arena *arena, struct fault *fault, struct cursor_key *out)
{
    unsigned char bytes[CURSOR_MAX_SIZE];
    size_t size;
    struct cursor_key keys[CURSOR_MAX_KEYS] = {0};
    size_t key_count = strlen(kinds);
    ASSERT(key_count >= 1 && key_count <= CURSOR_MAX_KEYS);
    if (sodium_base642bin(bytes, sizeof bytes, cursor.data, cursor.size, NULL, &size, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0) {
        return refused(fault);
    }
    struct wire wire = wire_of((struct text){(const char *)bytes, (uint32_t)size});
    uint32_t count;
    struct text mark;
    if (!wire_read_array(&wire, &count) || count != key_count + 1 || !wire_read_text(&wire, &mark) ||
        !text_equal(mark, query_mark(query_record, query, arena))) {
        return refused(fault);
    }
    for (size_t i = 0; i < key_count; i++) {
        if (!key_read(&wire, kinds[i], arena, &keys[i])) {
            return refused(fault);
        }
    }
    if (wire_peek(&wire) != WIRE_END) {
        return refused(fault);
    }
    memcpy(out, keys, key_count * sizeof *out);
    return ERR_NONE;
}
