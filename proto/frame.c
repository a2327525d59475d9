#include "proto/frame.h"

#include "lib/base/invariant.h"

RECORD_DEFINE(hello_service, HELLO_SERVICE_FIELDS)
RECORD_DEFINE(hello, HELLO_FIELDS)
RECORD_DEFINE(welcome, WELCOME_FIELDS)
RECORD_DEFINE(call_meta, CALL_META_FIELDS)
RECORD_DEFINE(reply_meta, REPLY_META_FIELDS)
RECORD_DEFINE(metric_series, METRIC_SERIES_FIELDS)
RECORD_DEFINE(metric_list, METRIC_LIST_FIELDS)
RECORD_DEFINE(metric_report, METRIC_REPORT_FIELDS)

static const char magic[] = {'B', 'U', 'S', '1'};

static void put(uint8_t *at, int size, uint64_t value)
{
    for (int i = size - 1; i >= 0; i--) {
        at[i] = (uint8_t)value;
        value >>= 8;
    }
}

static uint64_t get(const uint8_t *at, int size)
{
    uint64_t value = 0;
    for (int i = 0; i < size; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

void frame_head_write(const struct frame_head *head, uint8_t out[FRAME_HEAD_SIZE])
{
    memset(out, 0, FRAME_HEAD_SIZE);
    memcpy(out, magic, sizeof magic);
    out[4] = (uint8_t)head->type;
    out[5] = head->flags;
    out[6] = head->priority;
    out[7] = head->attempt;
    memcpy(out + 8, head->request_id, ID_SIZE);
    put(out + 24, 8, head->corr);
    put(out + 32, 8, (uint64_t)head->t_send_us);
    put(out + 40, 4, head->budget_ms);
    put(out + 44, 2, head->status);
    put(out + 46, 2, head->credit);
    put(out + 48, 4, head->epoch);
    put(out + 52, 4, head->queue_us);
}

bool frame_head_read(struct text frame, struct frame_head *out)
{
    const uint8_t *at = (const uint8_t *)frame.data;
    if (frame.size != FRAME_HEAD_SIZE || memcmp(at, magic, sizeof magic) != 0 || at[4] == 0 ||
        at[4] >= FRAME_TYPE_COUNT || at[6] > 3) {
        return false;
    }
    *out = (struct frame_head){.type = (enum frame_type)at[4],
                               .flags = at[5],
                               .priority = at[6],
                               .attempt = at[7],
                               .corr = get(at + 24, 8),
                               .t_send_us = (int64_t)get(at + 32, 8),
                               .budget_ms = (uint32_t)get(at + 40, 4),
                               .status = (uint16_t)get(at + 44, 2),
                               .credit = (uint16_t)get(at + 46, 2),
                               .epoch = (uint32_t)get(at + 48, 4),
                               .queue_us = (uint32_t)get(at + 52, 4)};
    memcpy(out->request_id, at + 8, ID_SIZE);
    return true;
}

const char *frame_type_name(enum frame_type type)
{
    static const char *const names[] = {[FRAME_HELLO] = "HELLO",     [FRAME_WELCOME] = "WELCOME",
                                        [FRAME_REQUEST] = "REQUEST", [FRAME_PARTIAL] = "PARTIAL",
                                        [FRAME_REPLY] = "REPLY",     [FRAME_NACK] = "NACK",
                                        [FRAME_CREDIT] = "CREDIT",   [FRAME_PING] = "PING",
                                        [FRAME_PONG] = "PONG",       [FRAME_DRAIN] = "DRAIN",
                                        [FRAME_BYE] = "BYE",         [FRAME_CANCEL] = "CANCEL"};
    ASSERT(type > 0 && type < FRAME_TYPE_COUNT);
    return names[type];
}

static bool name_is_plain(struct text name, bool key)
{
    for (uint32_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
        if (!plain && !(key && c >= 'A' && c <= 'Z')) {
            return false;
        }
    }
    return name.size > 0;
}

bool route_read(struct text route, struct text *out_service, struct text *out_operation, struct text *out_key)
{
    struct text rest = route, target, service;
    if (route.size > ROUTE_MAX_SIZE || !text_cut(&rest, '#', &target)) {
        return false;
    }
    struct text key = rest;
    bool keyed = rest.data != NULL;
    rest = target;
    if (!text_cut(&rest, '.', &service) || !name_is_plain(service, false) || !name_is_plain(rest, false) ||
        (keyed && !name_is_plain(key, true))) {
        return false;
    }
    *out_service = service;
    *out_operation = rest;
    *out_key = keyed ? key : (struct text){0};
    return true;
}
