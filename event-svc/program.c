#include "event-svc/program.h"

CONFIG_DEFINE(event_config, EVENT_CONFIG)

static const struct config_section sections[] = {
    {"Process", &process_config_rows, offsetof(struct event_settings, process)},
    {"Bus", &bus_config_rows, offsetof(struct event_settings, bus)},
    {"Service", &service_config_rows, offsetof(struct event_settings, service)},
    {"Store", &store_config_rows, offsetof(struct event_settings, store)},
    {"Event log", &event_config_rows, offsetof(struct event_settings, event)},
};

static const struct config_table table = {
    .program = "event-svc",
    .summary = "keeps the event log, publishes it and replays it",
    .usage = "[flags]",
    .sections = sections,
    .section_count = ARRAY_COUNT(sections),
};

static int event_run(const void *config, struct env *env)
{
    const struct event_settings *settings = config;
    return service_run(&event_service, config, &settings->bus, &settings->service, env);
}

const struct program event_program = {
    .name = "event-svc",
    .config = &table,
    .config_size = sizeof(struct event_settings),
    .run = event_run,
};
