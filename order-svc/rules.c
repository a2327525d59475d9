#include "order-svc/rules.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/invariant.h"

/* ---- moves ---- */

static const struct order_rule rules[] = {
    {ORDER_PENDING, ORDER_CONFIRMED, false, FULFILLMENT_UNFULFILLED, EVENT_ORDER_CONFIRMED, false, HOLD_CONFIRM},
    {ORDER_PENDING, ORDER_CANCELLED, true, FULFILLMENT_CANCELLED, EVENT_ORDER_CANCELLED, true, HOLD_RELEASE},
    {ORDER_CONFIRMED, ORDER_SHIPPED, false, FULFILLMENT_FULFILLED, EVENT_ORDER_SHIPPED, true, HOLD_COMMIT},
    {ORDER_CONFIRMED, ORDER_CANCELLED, true, FULFILLMENT_CANCELLED, EVENT_ORDER_CANCELLED, true, HOLD_RELEASE},
    {ORDER_SHIPPED, ORDER_DELIVERED, false, FULFILLMENT_DELIVERED, EVENT_ORDER_DELIVERED, false, HOLD_COMMIT},
};

const struct order_rule *order_rule_find(enum order_status from, enum order_status to)
{
    for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
        if (rules[i].from == from && rules[i].to == to) {
            return &rules[i];
        }
    }
    return NULL;
}

static bool may_ask(const struct order_rule *rule, bool by_admin)
{
    return by_admin || rule->by_owner;
}

/* True if the asker may ever ask for this status, whatever the order's present one. */
static bool may_ask_for(enum order_status to, bool by_admin)
{
    for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
        if (rules[i].to == to && may_ask(&rules[i], by_admin)) {
            return true;
        }
    }
    return by_admin;
}

static enum err refuse_step(const struct order *order, const struct order_step *step, struct fault *fault)
{
    fault_set(fault, ERR_BAD_TRANSITION, "The order is %s and cannot become %s",
              enum_name(&order_status_names, (int)order->status), enum_name(&order_status_names, (int)step->to));
    fault_allow_only(fault);
    for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
        if (rules[i].from == order->status && may_ask(&rules[i], step->by_admin)) {
            fault_allow(fault, enum_name(&order_status_names, (int)rules[i].to));
        }
    }
    return ERR_BAD_TRANSITION;
}

enum err order_apply(const struct order *order, const struct order_step *step, struct fault *fault, struct order *out)
{
    if (order->status == step->to) {
        *out = *order;
        return ERR_NONE;
    }
    if (!may_ask_for(step->to, step->by_admin)) {
        return fault_set(fault, ERR_FORBIDDEN, "Only administrators move an order to %s",
                         enum_name(&order_status_names, (int)step->to));
    }
    const struct order_rule *rule = order_rule_find(order->status, step->to);
    if (!rule || !may_ask(rule, step->by_admin)) {
        return refuse_step(order, step, fault);
    }
    ASSERT(order->history.count < ORDER_MAX_HISTORY);
    uint32_t count = order->history.count;
    int64_t at = step->now_ms > order->updated_at ? step->now_ms : order->updated_at; /* history never runs backwards */
    struct order moved = *order;
    memcpy(step->history, order->history.items, count * sizeof *step->history);
    step->history[count] = (struct order_move){.status = step->to, .at = at, .by = step->by};
    moved.status = step->to;
    moved.fulfillment_status = rule->fulfillment;
    moved.history.items = step->history;
    moved.history.count = count + 1;
    moved.version = order->version + 1;
    moved.updated_at = at;
    *out = moved;
    return ERR_NONE;
}

void order_as_placed(const struct order *order, struct order *out)
{
    *out = *order;
    out->status = ORDER_PENDING;
    out->payment_status = PAYMENT_NONE;
    out->fulfillment_status = FULFILLMENT_UNFULFILLED;
    out->history.count = 1;
    out->version = 1;
    out->updated_at = order->created_at;
}

/* ---- placing ---- */

uint32_t order_lines_sum(const struct order_new *in, struct reserve_line *lines, uint32_t *items)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < in->items.count; i++) {
        const struct order_item *item = &in->items.items[i];
        uint32_t at = 0;
        while (at < count && !text_equal(lines[at].product_id, item->product_id)) {
            at++;
        }
        if (at == count) {
            lines[at] = (struct reserve_line){.product_id = item->product_id};
            items[at] = i;
            count++;
        }
        lines[at].quantity += item->quantity;
    }
    return count;
}

enum err order_check(const struct order_new *in, struct fault *fault)
{
    if (has(order_new, in, shipping_address) && !address_country_known(in->shipping_address->country)) {
        fault_add(fault, "/shipping_address/country", "unknown_country", -1, "is not an ISO 3166-1 alpha-2 code");
        return fault_set(fault, ERR_INVALID_BODY, NULL);
    }
    return ERR_NONE;
}

/* DECIMAL_MAX in the currency's minor units. */
static int64_t currency_max(struct text currency)
{
    int64_t max = DECIMAL_MAX;
    for (int i = currency_decimals(currency); i >= 0 && i < DECIMAL_DIGITS; i++) {
        max /= 10;
    }
    return max;
}

static enum err beyond_max(struct fault *fault, const char *pointer)
{
    fault_add(fault, pointer, "too_large", -1, "makes the order's total larger than 9999999999.99");
    return fault_set(fault, ERR_INVALID_BODY, "The order's total is too large");
}

static enum err mixed_currency(const struct product_reserved *reserved, const uint32_t *items, struct fault *fault)
{
    for (uint32_t i = 1; i < reserved->lines.count; i++) {
        const struct reserved_line *line = &reserved->lines.items[i];
        if (!text_equal(line->currency, reserved->lines.items[0].currency)) {
            char pointer[ORDER_POINTER_SIZE];
            snprintf(pointer, sizeof pointer, "/items/%" PRIu32 "/product_id", items[i]);
            fault_add(fault, pointer, "mixed_currency", -1, "is sold in %.*s", TEXT_ARG(line->currency));
        }
    }
    return fault_set(fault, ERR_MIXED_CURRENCY, "The first product is sold in %.*s",
                     TEXT_ARG(reserved->lines.items[0].currency));
}

static bool belong_together(const struct product_reserve *asked, const struct product_reserved *reserved)
{
    if (asked->lines.count != reserved->lines.count || reserved->lines.count == 0) {
        return false;
    }
    for (uint32_t i = 0; i < asked->lines.count; i++) {
        if (!text_equal(asked->lines.items[i].product_id, reserved->lines.items[i].product_id)) {
            return false;
        }
    }
    return true;
}

static void line_fill(const struct reserve_line *asked, const struct reserved_line *found, struct order_line *out)
{
    *out = (struct order_line){.product_id = asked->product_id,
                               .sku = found->sku,
                               .name = found->name,
                               .price = found->price,
                               .quantity = asked->quantity};
}

enum err order_price(const struct product_reserve *asked, const struct product_reserved *reserved,
                     const uint32_t *items, struct fault *fault, struct order_bill *bill)
{
    if (!belong_together(asked, reserved)) {
        fault_cause(fault, "what was reserved is not what was asked for");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    struct text currency = reserved->lines.items[0].currency;
    int64_t total = 0, max = currency_max(currency);
    for (uint32_t i = 0; i < asked->lines.count; i++) {
        if (!text_equal(reserved->lines.items[i].currency, currency)) {
            return mixed_currency(reserved, items, fault);
        }
    }
    for (uint32_t i = 0; i < asked->lines.count; i++) {
        struct order_line *line = &bill->lines[i];
        line_fill(&asked->lines.items[i], &reserved->lines.items[i], line);
        if (!money_multiply(line->price, line->quantity, &line->total) || !money_add(total, line->total, &total) ||
            total > max) {
            char pointer[ORDER_POINTER_SIZE];
            snprintf(pointer, sizeof pointer, "/items/%" PRIu32 "/quantity", items[i]);
            return beyond_max(fault, pointer);
        }
    }
    bill->line_count = asked->lines.count;
    bill->total = total;
    bill->currency = currency;
    return ERR_NONE;
}

/* Reads "/lines/<index>" off the front of a pointer. */
static bool line_pointer_read(struct text pointer, uint32_t line_count, uint32_t *index, struct text *rest)
{
    const struct text prefix = TEXT("/lines/");
    struct text tail, number;
    int64_t value;
    if (!text_starts_with(pointer, prefix.data)) {
        return false;
    }
    tail = (struct text){pointer.data + prefix.size, pointer.size - prefix.size};
    *rest = tail;
    if (!text_cut(&tail, '/', &number) || !text_to_int(number, &value) || value < 0 || value >= line_count) {
        return false;
    }
    *index = (uint32_t)value;
    *rest = (struct text){rest->data + number.size, rest->size - number.size};
    return true;
}

void order_pointers_translate(struct fault *fault, const uint32_t *items, uint32_t line_count, char *room)
{
    for (uint32_t i = 0; i < fault->item_count; i++, room += ORDER_POINTER_SIZE) {
        uint32_t index;
        struct text rest;
        if (!line_pointer_read(fault->items[i].pointer, line_count, &index, &rest)) {
            continue;
        }
        snprintf(room, ORDER_POINTER_SIZE, "/items/%" PRIu32 "%.*s", items[index], TEXT_ARG(rest));
        fault->items[i].pointer = text_of(room);
    }
}
