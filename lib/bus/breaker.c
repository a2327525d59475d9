#include "lib/bus/breaker.h"

#include <string.h>

static void state_set(struct breaker *breaker, enum breaker_state state, int64_t now_ms)
{
    breaker->state = state;
    breaker->since_ms = now_ms;
    breaker->bad_since_ms = -1;
    breaker->probes_out = breaker->probes_good = 0;
    memset(breaker->good, 0, sizeof breaker->good);
    memset(breaker->bad, 0, sizeof breaker->bad);
    if (state == BREAKER_HALF_OPEN && ++breaker->generation == 0) {
        breaker->generation = 1;
    }
}

void breaker_init(struct breaker *breaker, int64_t now_ms)
{
    *breaker = (struct breaker){0};
    state_set(breaker, BREAKER_CLOSED, now_ms);
}

bool breaker_enter(struct breaker *breaker, const struct breaker_settings *settings, int64_t now_ms,
                   uint32_t *out_probe)
{
    if (breaker->state == BREAKER_OPEN && now_ms - breaker->since_ms >= settings->open_ms) {
        state_set(breaker, BREAKER_HALF_OPEN, now_ms);
    }
    if (breaker->state == BREAKER_OPEN ||
        (breaker->state == BREAKER_HALF_OPEN && breaker->probes_out >= settings->probe_count)) {
        return false;
    }
    bool probe = breaker->state == BREAKER_HALF_OPEN;
    breaker->probes_out += probe;
    *out_probe = probe ? breaker->generation : 0;
    return true;
}

/* Empties the buckets that the window has left behind. */
static void window_turn(struct breaker *breaker, const struct breaker_settings *settings, int64_t now_ms)
{
    int64_t bucket = now_ms / (settings->window_ms / BREAKER_BUCKETS);
    int64_t passed = bucket - breaker->bucket;
    for (int64_t i = 1; i <= passed && i <= BREAKER_BUCKETS; i++) {
        breaker->good[(breaker->bucket + i) % BREAKER_BUCKETS] = 0;
        breaker->bad[(breaker->bucket + i) % BREAKER_BUCKETS] = 0;
    }
    breaker->bucket = passed > 0 ? bucket : breaker->bucket;
}

static bool share_is_high(const struct breaker *breaker, const struct breaker_settings *settings)
{
    int64_t good = 0, bad = 0;
    for (int i = 0; i < BREAKER_BUCKETS; i++) {
        good += breaker->good[i];
        bad += breaker->bad[i];
    }
    return good + bad >= settings->least_count && bad * 100 >= settings->percent * (good + bad);
}

static void closed_leave(struct breaker *breaker, const struct breaker_settings *settings, enum breaker_end end,
                         int64_t now_ms)
{
    window_turn(breaker, settings, now_ms);
    breaker->good[breaker->bucket % BREAKER_BUCKETS] += end == BREAKER_GOOD;
    breaker->bad[breaker->bucket % BREAKER_BUCKETS] += end == BREAKER_BAD;
    if (!share_is_high(breaker, settings)) {
        breaker->bad_since_ms = -1;
        return;
    }
    breaker->bad_since_ms = breaker->bad_since_ms < 0 ? now_ms : breaker->bad_since_ms;
    if (now_ms - breaker->bad_since_ms >= settings->patience_ms) {
        state_set(breaker, BREAKER_OPEN, now_ms);
    }
}

static void probe_leave(struct breaker *breaker, const struct breaker_settings *settings, enum breaker_end end,
                        int64_t now_ms)
{
    breaker->probes_out--;
    breaker->probes_good += end == BREAKER_GOOD;
    if (end == BREAKER_BAD) {
        state_set(breaker, BREAKER_OPEN, now_ms);
    } else if (breaker->probes_good >= settings->probe_count) {
        state_set(breaker, BREAKER_CLOSED, now_ms);
    }
}

void breaker_leave(struct breaker *breaker, const struct breaker_settings *settings, uint32_t probe,
                   enum breaker_end end, int64_t now_ms)
{
    if (breaker->state == BREAKER_CLOSED && probe == 0 && end != BREAKER_NEITHER && settings->percent > 0) {
        closed_leave(breaker, settings, end, now_ms);
    } else if (breaker->state == BREAKER_HALF_OPEN && probe == breaker->generation) {
        probe_leave(breaker, settings, end, now_ms);
    } /* what began in another state tells of another time */
}

int64_t breaker_wait_ms(const struct breaker *breaker, const struct breaker_settings *settings, int64_t now_ms)
{
    int64_t wait_ms = breaker->since_ms + settings->open_ms - now_ms;
    return breaker->state == BREAKER_OPEN && wait_ms > 1 ? wait_ms : 1;
}

const char *breaker_state_name(enum breaker_state state)
{
    switch (state) {
    case BREAKER_CLOSED: return "closed";
    case BREAKER_OPEN: return "open";
    case BREAKER_HALF_OPEN: return "half_open";
    }
    return "";
}
