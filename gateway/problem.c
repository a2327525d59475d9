#include "gateway/problem.h"

static bool key_write(struct buffer *out, const char *key)
{
    return buffer_add_char(out, ',') && buffer_add_json_string(out, text_of(key)) && buffer_add_char(out, ':');
}

static bool item_write(const struct problem_item *item, struct buffer *out)
{
    bool added = buffer_add_string(out, "{\"pointer\":") && buffer_add_json_string(out, item->pointer) &&
                 key_write(out, "code") && buffer_add_json_string(out, item->code) && key_write(out, "message") &&
                 buffer_add_json_string(out, item->message);
    if (has(problem_item, item, available)) {
        added = added && key_write(out, "available") && buffer_add_int(out, item->available);
    }
    return added && buffer_add_char(out, '}');
}

static bool items_write(const struct fault *fault, struct buffer *out)
{
    bool added = key_write(out, "errors") && buffer_add_char(out, '[');
    for (uint32_t i = 0; added && i < fault->item_count; i++) {
        added = (i == 0 || buffer_add_char(out, ',')) && item_write(&fault->items[i], out);
    }
    return added && buffer_add_char(out, ']');
}

static bool allowed_write(const struct fault *fault, struct buffer *out)
{
    bool added = key_write(out, "allowed") && buffer_add_char(out, '[');
    for (uint32_t i = 0; added && i < fault->allowed.count; i++) {
        added = (i == 0 || buffer_add_char(out, ',')) && buffer_add_json_string(out, fault->allowed.items[i]);
    }
    return added && buffer_add_char(out, ']');
}

bool problem_write(const struct fault *fault, struct text instance, struct text request_id, struct buffer *out)
{
    const struct err_info *info = err_info(fault->code);
    bool added = buffer_add_string(out, "{\"type\":\"" PROBLEM_TYPE_PREFIX) && buffer_add_string(out, info->slug) &&
                 buffer_add_char(out, '"') && key_write(out, "title") &&
                 buffer_add_json_string(out, text_of(info->title)) && key_write(out, "status") &&
                 buffer_add_int(out, info->http) && key_write(out, "detail") &&
                 buffer_add_json_string(out, text_of(fault->detail[0] ? fault->detail : info->title)) &&
                 key_write(out, "instance") && buffer_add_json_string(out, instance) && key_write(out, "code") &&
                 buffer_add_json_string(out, text_of(info->slug)) && key_write(out, "request_id") &&
                 buffer_add_json_string(out, request_id);
    if (fault->item_count) {
        added = added && items_write(fault, out);
    }
    if (fault->allowed.items) {
        added = added && allowed_write(fault, out);
    }
    if (fault->head >= 0) {
        added = added && key_write(out, "head") && buffer_add_int(out, fault->head);
    }
    return added && buffer_add_char(out, '}');
}

enum err problem_of_call(enum err e, struct fault *fault)
{
    enum { RETRY_AFTER_S = 5 }; /* it may be about to start */
    if (e != ERR_UNKNOWN_OPERATION) {
        return e;
    }
    fault->allowed = (struct text_list){0};
    fault->retry_after_s = RETRY_AFTER_S;
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "This part of the shop does not run at the moment.");
}

int64_t problem_retry_after(const struct fault *fault)
{
    int status = err_info(fault->code)->http;
    if (fault->retry_after_s > 0) {
        return fault->retry_after_s;
    }
    return status == 429 || status == 503 ? 1 : 0;
}
