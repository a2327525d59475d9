#include "proto/fault.h"

#include <stdarg.h>
#include <stdio.h>

RECORD_DEFINE(problem_item, PROBLEM_ITEM_FIELDS)
RECORD_DEFINE(problem, PROBLEM_FIELDS)

void fault_init(struct fault *fault, struct arena *arena)
{
    *fault = (struct fault){.arena = arena, .head = -1};
}

/* Cuts at a whole code point if the text was longer than the room. */
static void whole_utf8(char *string)
{
    size_t size = strlen(string);
    while (size > 0 && !text_is_utf8((struct text){string, (uint32_t)size})) {
        string[--size] = '\0';
    }
}

enum err fault_set(struct fault *fault, enum err code, const char *format, ...)
{
    if (!fault) {
        return code;
    }
    fault->code = code;
    fault->detail[0] = '\0';
    if (format) {
        va_list args;
        va_start(args, format);
        vsnprintf(fault->detail, sizeof fault->detail, format, args);
        va_end(args);
        whole_utf8(fault->detail);
    }
    return code;
}

void fault_cause(struct fault *fault, const char *format, ...)
{
    if (!fault) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(fault->cause, sizeof fault->cause, format, args);
    va_end(args);
    whole_utf8(fault->cause);
}

static struct text copied(struct arena *arena, struct text text, uint32_t max_size)
{
    uint32_t size = text.size < max_size ? text.size : max_size;
    char *copy = arena_copy(arena, text.data, size);
    whole_utf8(copy);
    return text_of(copy);
}

static struct problem_item *item_add(struct fault *fault)
{
    if (!fault->arena || fault->item_count == FAULT_MAX_ITEMS) {
        return NULL;
    }
    uint32_t count = fault->item_count;
    if ((count & (count - 1)) == 0) { /* at 0, 1, 2, 4 ...: twice the room */
        struct problem_item *grown = arena_alloc(fault->arena, (count ? 2 * (size_t)count : 1) * sizeof *grown);
        if (count) {
            memcpy(grown, fault->items, count * sizeof *grown);
        }
        fault->items = grown;
    }
    fault->item_count++;
    return &fault->items[count];
}

void fault_add(struct fault *fault, const char *pointer, const char *code, int64_t available, const char *format, ...)
{
    struct problem_item *item = fault ? item_add(fault) : NULL;
    if (!item) {
        return;
    }
    char message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    whole_utf8(message);
    *item = (struct problem_item){.pointer = copied(fault->arena, text_of(pointer), 300),
                                  .code = copied(fault->arena, text_of(code), 40),
                                  .message = copied(fault->arena, text_of(message), sizeof message)};
    if (available >= 0) {
        item->available = available;
        set_has(problem_item, item, available);
    }
}

enum { ALLOWED_MAX = 16 };

void fault_allow_only(struct fault *fault)
{
    if (fault && fault->arena && !fault->allowed.items) {
        fault->allowed.items = arena_alloc(fault->arena, ALLOWED_MAX * sizeof(struct text));
    }
}

void fault_allow(struct fault *fault, const char *name)
{
    fault_allow_only(fault);
    if (!fault || !fault->arena || fault->allowed.count == ALLOWED_MAX) {
        return;
    }
    fault->allowed.items[fault->allowed.count++] = copied(fault->arena, text_of(name), 40);
}

void fault_to_problem(const struct fault *fault, struct problem *out)
{
    const struct err_info *info = err_info(fault->code);
    *out = (struct problem){.code = text_of(info->slug), .status = info->http};
    if (fault->detail[0]) {
        out->detail = text_of(fault->detail);
        set_has(problem, out, detail);
    }
    if (fault->item_count) {
        out->errors.items = fault->items;
        out->errors.count = fault->item_count;
        set_has(problem, out, errors);
    }
    if (fault->allowed.items) {
        out->allowed = fault->allowed;
        set_has(problem, out, allowed);
    }
    if (fault->retry_after_s > 0) {
        out->retry_after_s = fault->retry_after_s < RETRY_AFTER_MAX_S ? fault->retry_after_s : RETRY_AFTER_MAX_S;
        set_has(problem, out, retry_after_s);
    }
    if (fault->head >= 0) {
        out->head = fault->head;
        set_has(problem, out, head);
    }
}

void fault_from_problem(struct fault *fault, const struct problem *problem)
{
    struct arena *arena = fault->arena;
    fault_init(fault, arena);
    fault_set(fault, err_find(problem->code, (int)problem->status), "%.*s", TEXT_ARG(problem->detail));
    for (uint32_t i = 0; arena && i < problem->errors.count; i++) {
        const struct problem_item *from = &problem->errors.items[i];
        struct problem_item *item = item_add(fault);
        if (item) {
            *item = *from;
            item->pointer = copied(arena, from->pointer, UINT32_MAX);
            item->code = copied(arena, from->code, UINT32_MAX);
            item->message = copied(arena, from->message, UINT32_MAX);
        }
    }
    if (has(problem, problem, allowed)) {
        fault_allow_only(fault);
    }
    for (uint32_t i = 0; arena && i < problem->allowed.count; i++) {
        struct text name = copied(arena, problem->allowed.items[i], 40);
        fault_allow(fault, name.data);
    }
    fault->retry_after_s = has(problem, problem, retry_after_s) ? problem->retry_after_s : 0;
    fault->head = has(problem, problem, head) ? problem->head : -1;
}
