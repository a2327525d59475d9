#include "lib/bus/breakers.h"

#include <stdio.h>

#include "proto/frame.h"

enum { LABELS_SIZE = 2 * BREAKER_NAME_SIZE + 40 };

void breakers_init(struct breakers *breakers, const struct breaker_settings *settings, struct metrics *metrics)
{
    breakers->settings = *settings;
    breakers->metrics = metrics;
    breakers->count = 0;
}

static void line_init(struct breakers *breakers, struct breaker_line *line, int64_t now_ms)
{
    char labels[LABELS_SIZE];
    snprintf(labels, sizeof labels, "service=\"%s\"", line->service);
    line->state = metrics_get(breakers->metrics, METRIC_GAUGE, "zmart_breaker_state", labels,
                              "Whether calls to a service pass: 0 closed (they do), 1 open, 2 half open (some do).");
    line->rejected = metrics_get(breakers->metrics, METRIC_COUNTER, "zmart_breaker_rejected_total", labels,
                                 "Calls refused at once because their service has failed too often.");
    for (enum breaker_state to = BREAKER_CLOSED; to <= BREAKER_HALF_OPEN; to++) {
        snprintf(labels, sizeof labels, "service=\"%s\",to=\"%s\"", line->service, breaker_state_name(to));
        line->transitions[to] = metrics_get(breakers->metrics, METRIC_COUNTER, "zmart_breaker_transitions_total",
                                            labels, "Changes of a breaker's state.");
    }
    breaker_init(&line->breaker, now_ms);
}

struct breaker_line *breakers_find(struct breakers *breakers, struct text route, int64_t now_ms)
{
    struct text service, operation, key;
    if (breakers->settings.percent == 0 || !route_read(route, &service, &operation, &key) || text_is(service, "mmi")) {
        return NULL;
    }
    for (int i = 0; i < breakers->count; i++) {
        if (text_is(service, breakers->lines[i].service)) {
            return &breakers->lines[i];
        }
    }
    struct breaker_line *line = &breakers->lines[breakers->count];
    if (breakers->count == BREAKERS_MAX || !text_to_string(service, line->service, sizeof line->service)) {
        return NULL;
    }
    line_init(breakers, line, now_ms);
    breakers->count++;
    return line;
}

static void change_count(struct breaker_line *line, enum breaker_state before)
{
    enum breaker_state now = line->breaker.state;
    if (now != before) {
        metric_add(line->transitions[now], 1);
        metric_set(line->state, (int64_t)now);
    }
}

bool breakers_enter(struct breakers *breakers, struct breaker_line *line, int64_t now_ms, uint32_t *out_probe)
{
    enum breaker_state before = line->breaker.state;
    bool passes = breaker_enter(&line->breaker, &breakers->settings, now_ms, out_probe);
    change_count(line, before);
    metric_add(line->rejected, !passes);
    return passes;
}

void breakers_leave(struct breakers *breakers, struct breaker_line *line, uint32_t probe, enum breaker_end end,
                    int64_t now_ms)
{
    enum breaker_state before = line->breaker.state;
    breaker_leave(&line->breaker, &breakers->settings, probe, end, now_ms);
    change_count(line, before);
}
