#include "webhook-svc/rules.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/json/json_write.h"
#include "proto/pattern.h"

static const char secret_prefix[] = "whsec_";

enum verdict answer_judge(int status)
{
    if (status >= 200 && status < 300) {
        return VERDICT_GOOD;
    }
    return status == 410 ? VERDICT_GONE : VERDICT_AGAIN;
}

int64_t answer_quiet_ms(int status, int64_t retry_after_s, int64_t max_s)
{
    if (status != 429 && status != 503) {
        return 0;
    }
    return (retry_after_s < max_s ? retry_after_s : max_s) * 1000;
}

/* ---- attempts ---- */

int64_t retry_wait_ms(int64_t tries, int64_t permille)
{
    enum { S = 1000, MIN = 60 * S, H = 60 * MIN };
    static const int64_t waits_ms[WEBHOOK_MAX_TRIES] = {0,     5 * S,  5 * MIN, 30 * MIN, 2 * H,
                                                        5 * H, 10 * H, 14 * H,  20 * H,   24 * H};
    ASSERT(tries >= 0);
    return tries < WEBHOOK_MAX_TRIES ? waits_ms[tries] * permille / 1000 : -1;
}

static void attempt_add(struct delivery_kept *delivery, const struct delivery_attempt *attempt, struct arena *arena)
{
    uint32_t kept = delivery->attempts.count;
    uint32_t skipped = kept == WEBHOOK_MAX_ATTEMPTS_KEPT ? 1 : 0;
    struct delivery_attempt *items = arena_alloc(arena, (kept + 1) * sizeof *items);
    for (uint32_t i = skipped; i < kept; i++) {
        items[i - skipped] = delivery->attempts.items[i];
    }
    items[kept - skipped] = *attempt;
    delivery->attempts.items = items;
    delivery->attempts.count = kept - skipped + 1;
}

void delivery_note(struct delivery_kept *delivery, const struct delivery_attempt *attempt,
                   const struct outcome *outcome, struct arena *arena)
{
    bool once = text_is(delivery->type, WEBHOOK_TEST_TYPE);
    attempt_add(delivery, attempt, arena);
    delivery->tries++;
    delivery->present &= ~(UINT64_C(1) << delivery_kept_at_next_at);
    if (outcome->verdict == VERDICT_GOOD) {
        delivery->state = DELIVERY_DELIVERED;
        return;
    }
    bool gone = outcome->verdict == VERDICT_GONE;
    int64_t wait_ms = gone || once ? -1 : retry_wait_ms(delivery->tries, outcome->permille);
    delivery->state = wait_ms < 0 ? DELIVERY_FAILED : DELIVERY_PENDING;
    if (wait_ms >= 0) {
        wait_ms = wait_ms > outcome->quiet_ms ? wait_ms : outcome->quiet_ms;
        delivery->next_at = outcome->now_ms + wait_spread_ms(wait_ms, outcome->random);
        set_has(delivery_kept, delivery, next_at);
    }
}

static void webhook_stop(struct webhook_kept *webhook, const char *why, struct arena *arena)
{
    webhook->active = false;
    webhook->stopped = text_of(arena_copy(arena, why, strlen(why)));
    set_has(webhook_kept, webhook, stopped);
}

bool webhook_listens(const struct webhook_kept *webhook, int64_t now_ms)
{
    return webhook->active && !(has(webhook_kept, webhook, quiet_until) && webhook->quiet_until > now_ms);
}

/* True if it has changed: a longer quiet than it has asked for before. */
static bool quiet_note(struct webhook_kept *webhook, const struct outcome *outcome)
{
    int64_t until_ms = outcome->now_ms + outcome->quiet_ms;
    if (outcome->quiet_ms == 0 || (has(webhook_kept, webhook, quiet_until) && webhook->quiet_until >= until_ms)) {
        return false;
    }
    webhook->quiet_until = until_ms;
    set_has(webhook_kept, webhook, quiet_until);
    return true;
}

bool webhook_note(struct webhook_kept *webhook, const struct delivery_kept *delivery, const struct outcome *outcome,
                  int64_t stop_after, struct arena *arena)
{
    char why[120];
    if (outcome->verdict == VERDICT_GONE) {
        webhook_stop(webhook, "It has answered 410 Gone.", arena);
        return true;
    }
    if (outcome->verdict == VERDICT_GOOD) {
        bool heard = has(webhook_kept, webhook, quiet_until) && webhook_listens(webhook, outcome->now_ms);
        bool changed = webhook->failures > 0 || heard;
        webhook->failures = 0;
        webhook->present &= ~((uint64_t)heard << webhook_kept_at_quiet_until);
        return changed;
    }
    bool quiet = quiet_note(webhook, outcome);
    if (delivery->state != DELIVERY_FAILED || text_is(delivery->type, WEBHOOK_TEST_TYPE)) {
        return quiet;
    }
    webhook->failures++;
    if (stop_after > 0 && webhook->failures >= stop_after && webhook->active) {
        snprintf(why, sizeof why, "%" PRId64 " deliveries in a row were given up.", webhook->failures);
        webhook_stop(webhook, why, arena);
    }
    return true;
}

void webhook_overflow(struct webhook_kept *webhook, int64_t pending, struct arena *arena)
{
    char why[120];
    snprintf(why, sizeof why, "%" PRId64 " deliveries wait for it; more are not kept.", pending);
    webhook_stop(webhook, why, arena);
}

static bool type_check(struct text type, uint32_t place, struct fault *fault)
{
    char pointer[24];
    bool valid = pattern_is_valid(type);
    if (valid && event_pattern_shown(type)) {
        return true;
    }
    AUTO(buffer_release) struct buffer known;
    buffer_init(&known, 200);
    event_types_tell(type, NULL, &known);
    struct text told = buffer_text(&known);
    snprintf(pointer, sizeof pointer, "/types/%" PRIu32, place);
    if (valid) {
        fault_add(fault, pointer, "out_of_range", -1, "matches no type of events; there are %.*s", TEXT_ARG(told));
    } else {
        fault_add(fault, pointer, "format", -1, "takes a type such as order.placed, or a beginning and *");
    }
    return false;
}

enum err types_check(const struct text_list *types, struct fault *fault)
{
    enum err e = ERR_NONE;
    for (uint32_t i = 0; i < types->count; i++) {
        if (!type_check(types->items[i], i, fault)) {
            e = fault_set(fault, ERR_INVALID_BODY, NULL);
        }
    }
    return e;
}

/* ---- secrets and signatures ---- */

void secret_make(const uint8_t bytes[SECRET_BYTES], char out[SECRET_SIZE])
{
    size_t at = sizeof secret_prefix - 1;
    memcpy(out, secret_prefix, at);
    sodium_bin2base64(out + at, SECRET_SIZE - at, bytes, SECRET_BYTES, sodium_base64_VARIANT_ORIGINAL);
}

static bool key_is_good(const struct webhook_key *key, int64_t now_ms)
{
    return !has(webhook_key, key, until) || key->until > now_ms;
}

void keys_rotate(struct webhook_kept *webhook, const struct webhook_key *key, int64_t now_ms, int64_t overlap_ms,
                 struct arena *arena)
{
    struct webhook_key *keys = arena_alloc(arena, WEBHOOK_MAX_KEYS * sizeof *keys);
    uint32_t count = 0;
    keys[count++] = *key;
    for (uint32_t i = 0; i < webhook->keys.count && count < WEBHOOK_MAX_KEYS; i++) {
        struct webhook_key old = webhook->keys.items[i];
        if (!has(webhook_key, &old, until)) {
            old.until = now_ms + overlap_ms;
            set_has(webhook_key, &old, until);
        }
        if (key_is_good(&old, now_ms)) {
            keys[count++] = old;
        }
    }
    webhook->keys.items = keys;
    webhook->keys.count = count;
}

static bool secret_read(struct text secret, uint8_t out[SECRET_SIZE], size_t *out_size)
{
    size_t at = sizeof secret_prefix - 1;
    return text_starts_with(secret, secret_prefix) &&
           sodium_base642bin(out, SECRET_SIZE, secret.data + at, secret.size - at, NULL, out_size, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           *out_size >= SECRET_BYTES / 2;
}

static void mac_make(const uint8_t *secret, size_t secret_size, struct text head, struct text body,
                     char out[sodium_base64_ENCODED_LEN(crypto_auth_hmacsha256_BYTES, sodium_base64_VARIANT_ORIGINAL)])
{
    uint8_t mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, secret, secret_size);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)head.data, head.size);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)body.data, body.size);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof state);
    sodium_bin2base64(out, sodium_base64_ENCODED_LEN(sizeof mac, sodium_base64_VARIANT_ORIGINAL), mac, sizeof mac,
                      sodium_base64_VARIANT_ORIGINAL);
}

enum err signatures_make(const struct webhook_kept *webhook, struct text id, int64_t now_ms, struct text body,
                         char out[SIGNATURES_SIZE])
{
    char head[96], mac[sodium_base64_ENCODED_LEN(crypto_auth_hmacsha256_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    uint8_t secret[SECRET_SIZE];
    size_t secret_size, used = 0;
    int head_size = snprintf(head, sizeof head, "%.*s.%" PRId64 ".", TEXT_ARG(id), now_ms / 1000);
    ASSERT(head_size > 0 && head_size < (int)sizeof head);
    out[0] = '\0';
    for (uint32_t i = 0; i < webhook->keys.count && i < WEBHOOK_MAX_KEYS; i++) {
        const struct webhook_key *key = &webhook->keys.items[i];
        if (!key_is_good(key, now_ms)) {
            continue;
        }
        if (!secret_read(key->secret, secret, &secret_size)) {
            return ERR_INTERNAL;
        }
        mac_make(secret, secret_size, (struct text){head, (uint32_t)head_size}, body, mac);
        used += (size_t)snprintf(out + used, SIGNATURES_SIZE - used, "%sv1,%s", used ? " " : "", mac);
    }
    sodium_memzero(secret, sizeof secret);
    return used > 0 ? ERR_NONE : ERR_INTERNAL;
}

bool body_write(struct text type, int64_t time_ms, const struct record *record, const void *data, struct buffer *out)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(time_ms, time);
    return buffer_add_string(out, "{\"type\":") && buffer_add_json_string(out, type) &&
           buffer_add_string(out, ",\"timestamp\":") && buffer_add_json_string(out, text_of(time)) &&
           buffer_add_string(out, ",\"data\":") &&
           (record ? json_write(record, data, out) : buffer_add_string(out, "null")) && buffer_add_char(out, '}');
}
