#include "user-svc/program.h"

#include "user-svc/state.h"

CONFIG_DEFINE(user_config, USER_CONFIG)

static const struct config_section sections[] = {
    {"Process", &process_config_rows, offsetof(struct user_settings, process)},
    {"Bus", &bus_config_rows, offsetof(struct user_settings, bus)},
    {"Service", &service_config_rows, offsetof(struct user_settings, service)},
    {"Store", &store_config_rows, offsetof(struct user_settings, store)},
    {"Accounts", &user_config_rows, offsetof(struct user_settings, user)},
};

static const struct config_table table = {.program = "user-svc",
                                          .summary = "Accounts, sessions and the signing of tokens.",
                                          .usage = "[flags]",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

static int user_run(const void *config, struct env *env)
{
    const struct user_settings *settings = config;
    return service_run(&user_service, config, &settings->bus, &settings->service, env);
}

const struct program user_program = {
    .name = "user-svc", .config = &table, .config_size = sizeof(struct user_settings), .run = user_run};
