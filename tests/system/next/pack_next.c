/* proto/pack.c as a later version of the shop would have it: many records have optional fields more, which this version
 * has never heard of. Requests that clients write, and what is compared byte by byte, are as they were: absent fields
 * are not packed. */
#define record_pack    record_pack_now
#define record_pack_in record_pack_in_now
#include "proto/pack.c"
#undef record_pack
#undef record_pack_in

#include "proto/wire.h"

bool record_pack(const struct record *record, const void *in, struct buffer *out);
struct text record_pack_in(const struct record *record, const void *in, struct arena *arena);

static const char *const extended[] = {
    "call_meta",      "event_appended",   "event_entry", "event_meta", "event_page",  "hello",
    "mmi_queue_list", "mmi_worker_list",  "order",       "order_list", "problem",     "product",
    "product_list",   "product_reserved", "reply_meta",  "session",    "stream_head", "user",
    "user_session",   "welcome"};

static bool record_is_extended(const struct record *record)
{
    for (size_t i = 0; i < ARRAY_COUNT(extended); i++) {
        if (strcmp(record->name, extended[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Fields of kinds that this version has no use for, one of them deep. */
static bool news_pack(struct buffer *out)
{
    return pack_text(out, TEXT("next_map")) && pack_map(out, 1) && pack_text(out, TEXT("list")) && pack_array(out, 3) &&
           pack_int(out, 1) && pack_nil(out) && pack_map(out, 0) && pack_text(out, TEXT("next_bytes")) &&
           pack_bin(out, TEXT("\xff\x00"));
}

bool record_pack(const struct record *record, const void *in, struct buffer *out)
{
    uint32_t count;
    if (!record_is_extended(record)) {
        return record_pack_now(record, in, out);
    }
    AUTO(buffer_release) struct buffer now;
    buffer_init(&now, UINT32_MAX / 2);
    ASSERT(record_pack_now(record, in, &now));
    struct wire wire = wire_of(buffer_text(&now));
    ASSERT(wire_read_map(&wire, &count));
    struct text fields = {(const char *)wire.at, (uint32_t)(wire.end - wire.at)};
    return pack_map(out, count + 2) && news_pack(out) && pack_raw(out, fields);
}

struct text record_pack_in(const struct record *record, const void *in, struct arena *arena)
{
    AUTO(buffer_release) struct buffer buffer;
    buffer_init(&buffer, UINT32_MAX / 2);
    ASSERT(record_pack(record, in, &buffer));
    return (struct text){arena_copy(arena, buffer.data, buffer.size), (uint32_t)buffer.size};
}
