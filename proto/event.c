#include "proto/event.h"

#include "lib/base/invariant.h"
#include "proto/pattern.h"

RECORD_DEFINE(order_event_line, ORDER_EVENT_LINE_FIELDS)
RECORD_DEFINE(order_event, ORDER_EVENT_FIELDS)
RECORD_DEFINE(product_event, PRODUCT_EVENT_FIELDS)
RECORD_DEFINE(event_new, EVENT_NEW_FIELDS)
RECORD_DEFINE(event_append, EVENT_APPEND_FIELDS)
RECORD_DEFINE(event_appended, EVENT_APPENDED_FIELDS)
RECORD_DEFINE(event_entry, EVENT_ENTRY_FIELDS)
RECORD_DEFINE(event_replay, EVENT_REPLAY_FIELDS)
RECORD_DEFINE(event_page, EVENT_PAGE_FIELDS)
RECORD_DEFINE(event_query, EVENT_QUERY_FIELDS)
RECORD_DEFINE(ws_query, WS_QUERY_FIELDS)
RECORD_DEFINE(event_stream_query, EVENT_STREAM_QUERY_FIELDS)
RECORD_DEFINE(event_view, EVENT_VIEW_FIELDS)
RECORD_DEFINE(event_list, EVENT_LIST_FIELDS)
RECORD_DEFINE(event_meta, EVENT_META_FIELDS)
RECORD_DEFINE(topic_head, TOPIC_HEAD_FIELDS)
RECORD_DEFINE(stream_head, STREAM_HEAD_FIELDS)

_Static_assert((int)EVENT_COUNT < (int)EVENT_TYPE_MAX, "a question for all types names each");

static const struct event_info infos[] = {
#define EVENT(name, type, payload, private_payload) \
    [EVENT_##name] = {type, &payload##_record, &private_payload##_record},
#include "proto/events.def"
};

const struct event_info *event_info(enum event_type event)
{
    ASSERT((unsigned)event < EVENT_COUNT);
    return &infos[event];
}

const struct record *event_shown(const struct event_info *info)
{
    if (!info || info->payload == &nothing_record) {
        return NULL;
    }
    return info->private_payload == &nothing_record ? info->payload : info->private_payload;
}

struct text event_shown_data(const struct event_info *info, struct text data, struct text private_data)
{
    return info->private_payload == &nothing_record ? data : private_data;
}

const struct event_info *event_find(struct text type)
{
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        if (text_is(type, infos[i].type)) {
            return &infos[i];
        }
    }
    return NULL;
}

bool event_pattern_shown(struct text pattern)
{
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        if (event_shown(&infos[i]) && pattern_matches(pattern, text_of(infos[i].type))) {
            return true;
        }
    }
    return false;
}

/* "order" of "order.placed". */
static struct text family_of(struct text type)
{
    struct text family = {0};
    (void)!text_cut(&type, '.', &family);
    return family;
}

static bool is_told(size_t i, const struct record *only)
{
    const struct record *shown = event_shown(&infos[i]);
    return shown && (!only || shown == only);
}

static void tell(struct text name, const char *rest, struct buffer *out)
{
    (void)(buffer_add_string(out, out->size ? ", " : "") && buffer_add_text(out, name) && buffer_add_string(out, rest));
}

void event_types_tell(struct text pattern, const struct record *only, struct buffer *out)
{
    struct text wanted = family_of(pattern), last = {0};
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        if (is_told(i, only) && text_equal(family_of(text_of(infos[i].type)), wanted)) {
            tell(text_of(infos[i].type), "", out);
        }
    }
    for (size_t i = 0; i < EVENT_COUNT && (out->size == 0 || last.size); i++) {
        struct text family = family_of(text_of(infos[i].type));
        if (is_told(i, only) && !text_equal(family, last)) { /* a family's types stand together */
            tell(family, ".*", out);
            last = family;
        }
    }
}
