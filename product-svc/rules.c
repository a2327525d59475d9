#include "product-svc/rules.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/invariant.h"

enum { POINTER_SIZE = 48 };

/* ---- fields ---- */

static enum err refuse(struct fault *fault, const char *pointer, const char *code, const char *message)
{
    fault_add(fault, pointer, code, -1, "%s", message);
    return fault_set(fault, ERR_INVALID_BODY, NULL);
}

static bool is_blank(struct text text)
{
    for (uint32_t i = 0; i < text.size; i++) {
        if (text.data[i] != ' ') {
            return false;
        }
    }
    return true;
}

static enum err check_not_blank(struct text text, const char *pointer, struct fault *fault)
{
    return is_blank(text) ? refuse(fault, pointer, "blank", "takes more than blanks") : ERR_NONE;
}

/* http or https, "://", and a host. */
static bool is_web_url(struct text url)
{
    uint32_t at = 0;
    while (at < url.size && url.data[at] != ':') {
        at++;
    }
    struct text scheme = {url.data, at};
    struct text rest = {url.data + at, url.size - at};
    bool is_web = text_equal_ignoring_case(scheme, TEXT("http")) || text_equal_ignoring_case(scheme, TEXT("https"));
    if (!is_web || rest.size < 4 || !text_starts_with(rest, "://") || memchr("/?#:@", rest.data[3], 5)) {
        return false;
    }
    return !memchr(url.data, ' ', url.size);
}

static enum err check_images(const struct text_list *images, struct fault *fault)
{
    enum err result = ERR_NONE;
    for (uint32_t i = 0; i < images->count; i++) {
        if (!is_web_url(images->items[i])) {
            char pointer[POINTER_SIZE];
            snprintf(pointer, sizeof pointer, "/images/%" PRIu32, i);
            result = refuse(fault, pointer, "bad_url", "takes an http or https URL");
        }
    }
    return result;
}

static enum err check_categories(const struct text_list *categories, struct fault *fault)
{
    enum err result = ERR_NONE;
    for (uint32_t i = 0; i < categories->count; i++) {
        char pointer[POINTER_SIZE];
        snprintf(pointer, sizeof pointer, "/categories/%" PRIu32, i);
        if (check_not_blank(categories->items[i], pointer, fault) != ERR_NONE) {
            result = ERR_INVALID_BODY;
        }
    }
    return result;
}

/* A price in major units as minor units of the currency. */
static enum err price_convert(int64_t decimal, struct text currency, struct fault *fault, int64_t *out_minor)
{
    int decimals = currency_decimals(currency);
    if (decimals < 0) {
        return refuse(fault, "/currency", "unknown_currency", "takes an ISO 4217 code in upper case");
    }
    if (!money_from_decimal(decimal, decimals, out_minor)) {
        fault_add(fault, "/price", "too_many_decimals", -1, "takes at most %d decimals in %.*s", decimals,
                  TEXT_ARG(currency));
        return fault_set(fault, ERR_INVALID_BODY, NULL);
    }
    return ERR_NONE;
}

static enum err worse(enum err a, enum err b)
{
    return a != ERR_NONE ? a : b;
}

/* ---- making ---- */

static struct text sku_make(struct text id, char room[SKU_MADE_SIZE])
{
    uint32_t from = 0; /* behind "prd_" */
    for (uint32_t i = 0; i < id.size; i++) {
        from = id.data[i] == '_' ? i + 1 : from;
    }
    struct text part = {id.data + from, id.size - from};
    snprintf(room, SKU_MADE_SIZE, "SKU-%.12s", part.size >= 12 ? part.data : "");
    for (char *at = room; *at; at++) {
        *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
    }
    return text_of(room);
}

enum err product_draft(const struct product_new *in, const struct product_terms *terms, char sku_room[SKU_MADE_SIZE],
                       struct fault *fault, struct product *out)
{
    struct product product = {
        .id = terms->id,
        .name = in->name,
        .description = has(product_new, in, description) ? in->description : TEXT(""),
        .currency = has(product_new, in, currency) ? in->currency : terms->currency,
        .stock = in->stock,
        .active = has(product_new, in, active) ? in->active : true,
        .version = 1,
        .created_at = terms->now_ms,
        .updated_at = terms->now_ms,
    };
    product.sku = has(product_new, in, sku) ? in->sku : sku_make(terms->id, sku_room);
    if (has(product_new, in, categories)) {
        product.categories = in->categories;
    }
    if (has(product_new, in, images)) {
        product.images = in->images;
    }
    enum err e = check_not_blank(product.name, "/name", fault);
    e = worse(check_not_blank(product.sku, "/sku", fault), e);
    e = worse(price_convert(in->price, product.currency, fault, &product.price), e);
    e = worse(check_categories(&product.categories, fault), e);
    e = worse(check_images(&product.images, fault), e);
    if (e == ERR_NONE) {
        *out = product;
    }
    return e;
}

/* ---- If-Match ---- */

/* Cuts one entity tag off a list: W/"..." or "...". False at the end and at what is malformed. */
static bool tag_cut(struct text *rest, bool *out_weak, struct text *out_tag)
{
    while (rest->size > 0 && (rest->data[0] == ' ' || rest->data[0] == '\t' || rest->data[0] == ',')) {
        *rest = (struct text){rest->data + 1, rest->size - 1};
    }
    *out_weak = rest->size >= 2 && memcmp(rest->data, "W/", 2) == 0;
    if (*out_weak) {
        *rest = (struct text){rest->data + 2, rest->size - 2};
    }
    const char *end = rest->size >= 2 && rest->data[0] == '"' ? memchr(rest->data + 1, '"', rest->size - 1) : NULL;
    if (!end) {
        return false;
    }
    *out_tag = (struct text){rest->data + 1, (uint32_t)(end - rest->data) - 1};
    *rest = (struct text){end + 1, rest->size - out_tag->size - 2};
    return true;
}

static bool tag_names(struct text tag, const struct product *product, bool with_stock)
{
    struct text version_part;
    int64_t version, stock;
    return text_cut(&tag, '-', &version_part) && text_to_int(version_part, &version) && version == product->version &&
           text_to_int(tag, &stock) && (!with_stock || stock == product->stock);
}

bool product_tag_matches(struct text if_match, const struct product *product, bool with_stock)
{
    struct text tag;
    bool weak;
    while (if_match.size > 0 && (if_match.data[0] == ' ' || if_match.data[0] == '\t')) {
        if_match = (struct text){if_match.data + 1, if_match.size - 1};
    }
    if (if_match.size > 0 && if_match.data[0] == '*') {
        return true;
    }
    while (tag_cut(&if_match, &weak, &tag)) {
        if (!weak && tag_names(tag, product, with_stock)) {
            return true;
        }
    }
    return false;
}

/* ---- editing ---- */

static enum err apply_stock(const struct product_edit *edit, struct fault *fault, struct product *product)
{
    if (has(product_edit, edit, stock) && has(product_edit, edit, stock_delta)) {
        fault_add(fault, "/stock_delta", "not_together", -1, "does not go together with stock");
        return fault_set(fault, ERR_INVALID_BODY, NULL);
    }
    if (has(product_edit, edit, stock)) {
        product->stock = edit->stock;
    }
    if (!has(product_edit, edit, stock_delta)) {
        return ERR_NONE;
    }
    int64_t stock = product->stock + edit->stock_delta; /* both are bounded by STOCK_MAX */
    if (stock > STOCK_MAX) {
        return refuse(fault, "/stock_delta", "out_of_range", "makes the stock larger than can be counted");
    }
    if (stock < 0) {
        fault_add(fault, "/stock_delta", "out_of_stock", product->stock, "takes more than there is");
        return fault_set(fault, ERR_OUT_OF_STOCK, NULL);
    }
    product->stock = stock;
    return ERR_NONE;
}

/* A new currency without a new price keeps the number: 20.00 USD becomes 20.00 EUR. */
static enum err apply_price(const struct product_edit *edit, struct fault *fault, struct product *product)
{
    bool priced = has(product_edit, edit, price);
    if (!priced && !has(product_edit, edit, currency)) {
        return ERR_NONE;
    }
    int decimals = currency_decimals(product->currency);
    ASSERT(decimals >= 0);
    int64_t decimal = priced ? edit->price : money_to_decimal(product->price, decimals);
    struct text currency = has(product_edit, edit, currency) ? edit->currency : product->currency;
    enum err e = price_convert(decimal, currency, fault, &product->price);
    if (e == ERR_NONE) {
        product->currency = currency;
    }
    return e;
}

static enum err apply_texts(const struct product_edit *edit, struct fault *fault, struct product *product)
{
    enum err e = ERR_NONE;
    if (has(product_edit, edit, name)) {
        product->name = edit->name;
        e = check_not_blank(edit->name, "/name", fault);
    }
    if (has(product_edit, edit, description)) {
        product->description = edit->description;
    }
    if (has(product_edit, edit, sku)) {
        product->sku = edit->sku;
        e = worse(check_not_blank(edit->sku, "/sku", fault), e);
    }
    if (has(product_edit, edit, categories)) {
        product->categories = edit->categories;
        e = worse(check_categories(&edit->categories, fault), e);
    }
    if (has(product_edit, edit, images)) {
        product->images = edit->images;
        e = worse(check_images(&edit->images, fault), e);
    }
    if (has(product_edit, edit, active)) {
        product->active = edit->active;
    }
    return e;
}

enum err product_apply(const struct product *product, const struct product_change *change, int64_t now_ms,
                       struct fault *fault, struct product *out)
{
    const struct product_edit *edit = change->edit;
    const uint64_t id_only = UINT64_C(1) << product_edit_at_id;
    if (change->conditional && !product_tag_matches(change->if_match, product, has(product_edit, edit, stock))) {
        return fault_set(fault, ERR_PRECONDITION_FAILED, NULL);
    }
    if ((edit->present & ~id_only) == 0) {
        *out = *product;
        return ERR_NONE;
    }
    struct product next = *product;
    enum err e = apply_texts(edit, fault, &next);
    e = worse(apply_price(edit, fault, &next), e);
    e = worse(e, apply_stock(edit, fault, &next)); /* what is malformed goes before what is out of stock */
    if (e != ERR_NONE) {
        return fault_set(fault, e, NULL);
    }
    next.version++;
    next.updated_at = now_ms > product->updated_at ? now_ms : product->updated_at;
    *out = next;
    return ERR_NONE;
}

enum product_sort product_sort_of(const struct product_query *query)
{
    if (has(product_query, query, sort)) {
        return query->sort;
    }
    return has(product_query, query, q) ? PRODUCT_BY_RELEVANCE : PRODUCT_BY_NEWEST;
}

/* ---- holds ---- */

bool reserve_takes(const struct reserve_found *found)
{
    return !found->has_hold;
}

static void name_line(struct fault *fault, uint32_t index, enum err code, int64_t available)
{
    char pointer[POINTER_SIZE];
    const struct err_info *info = err_info(code);
    snprintf(pointer, sizeof pointer, "/lines/%" PRIu32, index);
    fault_add(fault, pointer, info->slug, available, "%s", info->title);
}

/* What is wrong with one line, or NONE. currency is the order's. */
static enum err judge_line(const struct reserve_line *line, const struct reserve_found *found, struct text currency)
{
    if (found->has_hold && found->state == HOLD_IS_RELEASED) {
        return ERR_CONFLICT; /* whoever made it: the order of this id is over */
    }
    if (found->has_hold && !found->same_request) {
        return ERR_IDEMPOTENCY_KEY_REUSED;
    }
    if (!reserve_takes(found)) {
        return ERR_NONE;
    }
    if (!found->for_sale) {
        return ERR_UNAVAILABLE;
    }
    if (found->stock < line->quantity) {
        return ERR_OUT_OF_STOCK;
    }
    return text_equal(found->line.currency, currency) ? ERR_NONE : ERR_MIXED_CURRENCY;
}

/* Of several things that are wrong the gravest names the whole. */
static int gravity(enum err code)
{
    static const enum err rising[] = {ERR_NONE,        ERR_MIXED_CURRENCY,         ERR_OUT_OF_STOCK,
                                      ERR_UNAVAILABLE, ERR_IDEMPOTENCY_KEY_REUSED, ERR_CONFLICT};
    int at = 0;
    while (rising[at] != code) {
        at++;
        ASSERT(at < (int)ARRAY_COUNT(rising));
    }
    return at;
}

/* The currency of the first line that can be had. */
static struct text currency_of(const struct reserve_found *found, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (found[i].for_sale) {
            return found[i].line.currency;
        }
    }
    return (struct text){0};
}

enum err reserve_judge(const struct product_reserve *in, const struct reserve_found *found, struct fault *fault)
{
    enum err worst = ERR_NONE;
    struct text currency = currency_of(found, in->lines.count);
    for (uint32_t i = 0; i < in->lines.count; i++) {
        enum err e = judge_line(&in->lines.items[i], &found[i], currency);
        worst = gravity(e) > gravity(worst) ? e : worst;
        if (e == ERR_UNAVAILABLE || e == ERR_OUT_OF_STOCK || e == ERR_MIXED_CURRENCY) {
            int64_t left = e == ERR_UNAVAILABLE ? 0 : found[i].stock < STOCK_MAX ? found[i].stock : STOCK_MAX;
            name_line(fault, i, e, left);
        }
    }
    return worst == ERR_NONE ? ERR_NONE : fault_set(fault, worst, NULL);
}

enum err reserve_check(const struct product_reserve *in, struct fault *fault)
{
    enum err result = ERR_NONE;
    for (uint32_t i = 1; i < in->lines.count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (text_equal(in->lines.items[i].product_id, in->lines.items[j].product_id)) {
                char pointer[POINTER_SIZE];
                snprintf(pointer, sizeof pointer, "/lines/%" PRIu32 "/product_id", i);
                result = refuse(fault, pointer, "duplicate", "is in an earlier line already");
                break;
            }
        }
    }
    return result;
}

enum hold_state hold_settle(enum hold_state state, enum hold_step step, bool same_request)
{
    if (state == HOLD_IS_RELEASED || state == HOLD_IS_COMMITTED) {
        return state;
    }
    if (step == HOLD_RELEASE || (state == HOLD_IS_HELD && !same_request)) {
        return HOLD_IS_RELEASED;
    }
    return step == HOLD_COMMIT ? HOLD_IS_COMMITTED : HOLD_IS_CONFIRMED;
}

enum hold_step hold_step_of(enum order_outcome outcome)
{
    return outcome == ORDER_OUTCOME_PLACED    ? HOLD_CONFIRM
           : outcome == ORDER_OUTCOME_SHIPPED ? HOLD_COMMIT
                                              : HOLD_RELEASE;
}
