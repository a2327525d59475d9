#include "cli/settings.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/store/url.h"

CONFIG_DEFINE(up_config, UP_CONFIG)

enum { HELP_MAX_SECTIONS = 48, HELP_MAX_ROWS = 256 };

static const struct config_section sections[] = {
    {"Shop", &up_config_rows, offsetof(struct up_settings, up)},
    {"Process", &process_config_rows, offsetof(struct up_settings, process)},
};

const struct config_table up_table = {
    .program = "zmart up",
    .summary = "runs the whole shop",
    .usage = "[flags]",
    .sections = sections,
    .section_count = ARRAY_COUNT(sections),
};

/* Every room has its own of these; up chooses them. */
static const char *const withheld[] = {"bus", "bus-insecure-loopback", "instance", "key", "operators", NULL};

int settings_room_count(const struct up_settings *settings, enum room_id id)
{
    const struct up_config *up = &settings->up;
    switch (id) {
    case ROOM_BROKER: return (int)up->broker;
    case ROOM_EVENT: return (int)up->event_svc;
    case ROOM_PRODUCT: return (int)up->product_svc;
    case ROOM_ORDER: return (int)up->order_svc;
    case ROOM_USER: return (int)up->user_svc;
    case ROOM_WEBHOOK: return (int)up->webhook_svc;
    case ROOM_MAIL: return (int)up->mail_svc;
    case ROOM_GATEWAY: return (int)up->gateway;
    case ROOM_COUNT: break;
    }
    return 0;
}

/* ---- addresses ---- */

bool address_tcp(const char *address, char *host, size_t host_size, int *out_port)
{
    static const char scheme[] = "tcp://";
    int64_t port;
    const char *colon = strrchr(address, ':');
    if (strncmp(address, scheme, sizeof scheme - 1) != 0 || colon < address + sizeof scheme ||
        !text_to_int(text_of(colon + 1), &port) || port < 0 || port > 65535) {
        return false;
    }
    struct text name = {address + sizeof scheme - 1, (uint32_t)(colon - address - (ptrdiff_t)(sizeof scheme - 1))};
    if (name.size > 2 && name.data[0] == '[' && name.data[name.size - 1] == ']') {
        name = (struct text){name.data + 1, name.size - 2};
    }
    if (!text_to_string(name, host, host_size)) {
        return false;
    }
    *out_port = (int)port;
    return true;
}

bool address_is_local(const char *address)
{
    char host[256];
    int port;
    struct in_addr ip;
    if (strncmp(address, "ipc://", 6) == 0) {
        return true;
    }
    if (!address_tcp(address, host, sizeof host, &port)) {
        return false;
    }
    if (strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0) {
        return true;
    }
    return inet_pton(AF_INET, host, &ip) == 1 && (ntohl(ip.s_addr) >> 24) == 127;
}

/* ---- checks ---- */

static bool store_check(const struct up_settings *settings, char message[SETTINGS_MESSAGE_SIZE])
{
    const char *store = settings->up.store;
    bool mongo = store_kind_of(store) == STORE_MONGO;
    if (store[0] && store_kind_of(store) == STORE_UNKNOWN) {
        char shown[STORE_SHOWN_SIZE];
        store_url_show(store, shown);
        snprintf(message, SETTINGS_MESSAGE_SIZE, "--store takes sqlite:DIR or mongodb://HOST/DATABASE, not \"%.100s\"",
                 shown);
        return false;
    }
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        int count = settings_room_count(settings, id);
        if (count > 1 && rooms[id].stores && !(mongo && rooms[id].mongo)) {
            snprintf(message, SETTINGS_MESSAGE_SIZE,
                     rooms[id].mongo
                         ? "--%s %d needs MongoDB (--store mongodb://...): on SQLite a service has one process"
                         : "--%s %d: it keeps what it has in SQLite, so there is one process of it",
                     room_name(id), count);
            return false;
        }
        if (count > 1 && !settings->up.processes) {
            snprintf(message, SETTINGS_MESSAGE_SIZE, "--%s %d needs --processes", room_name(id), count);
            return false;
        }
    }
    return true;
}

static bool events_check(const struct up_settings *settings, char message[SETTINGS_MESSAGE_SIZE])
{
    const struct up_config *up = &settings->up;
    char host[256];
    int port;
    if (up->events[0] && strncmp(up->events, "ipc://", 6) != 0 &&
        !address_tcp(up->events, host, sizeof host, &port)) {
        snprintf(message, SETTINGS_MESSAGE_SIZE, "--events takes tcp://HOST:PORT or ipc://PATH, not \"%.100s\"",
                 up->events);
        return false;
    }
    if (up->events[0] && !up->keys[0] && !address_is_local(up->events)) {
        snprintf(message, SETTINGS_MESSAGE_SIZE,
                 "--events %.100s reaches beyond this machine and needs --keys DIR (CURVE keys for its subscribers)",
                 up->events);
        return false;
    }
    return true;
}

static bool own_check(const struct up_settings *settings, char message[SETTINGS_MESSAGE_SIZE])
{
    enum log_level level;
    if (!log_level_parse(text_of(settings->process.log_level), &level)) {
        snprintf(message, SETTINGS_MESSAGE_SIZE, "--log-level takes debug, info, warn or error");
        return false;
    }
    if (settings->up.port > 0 && settings->up.port + settings->up.gateway - 1 > 65535) {
        snprintf(message, SETTINGS_MESSAGE_SIZE, "--gateway %" PRId64 " needs as many ports behind --port",
                 settings->up.gateway);
        return false;
    }
    return store_check(settings, message) && events_check(settings, message);
}

/* Whether the room would take what is handed to it. */
static bool room_check(enum room_id id, const struct words *flags, char message[SETTINGS_MESSAGE_SIZE])
{
    AUTO(words_release) struct words argv = {0};
    AUTO(mem_release) void *config = mem_alloc(rooms[id].program->config_size);
    words_add(&argv, room_name(id));
    words_add_all(&argv, flags);
    return config_load(rooms[id].program->config, argv.count, argv.items, config, NULL, message,
                       SETTINGS_MESSAGE_SIZE) != CONFIG_BAD;
}

static void room_tables_fill(const struct config_table *tables[ROOM_COUNT + 1])
{
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        tables[id] = rooms[id].program->config;
    }
    tables[ROOM_COUNT] = NULL;
}

enum config_result settings_load(const struct words *argv, struct arguments *out_arguments, struct up_settings *out,
                                 char message[SETTINGS_MESSAGE_SIZE])
{
    const struct config_table *tables[ROOM_COUNT + 1];
    room_tables_fill(tables);
    for (int i = 1; i < argv->count; i++) {
        if (strcmp(argv->items[i], "--help") == 0 || strcmp(argv->items[i], "-h") == 0) {
            return CONFIG_HELP;
        }
    }
    if (!arguments_split(&up_table, tables, withheld, argv, out_arguments, message, SETTINGS_MESSAGE_SIZE)) {
        return CONFIG_BAD;
    }
    struct words *own = &out_arguments->own;
    enum config_result result =
        config_load(&up_table, own->count, own->items, out, NULL, message, SETTINGS_MESSAGE_SIZE);
    if (result != CONFIG_OK) {
        return result;
    }
    if (!own_check(out, message)) {
        return CONFIG_BAD;
    }
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        if (!room_check(id, &out_arguments->rooms[id], message)) {
            return CONFIG_BAD;
        }
    }
    return CONFIG_OK;
}

/* ---- help ---- */

struct help {
    struct config_section sections[HELP_MAX_SECTIONS];
    struct config_rows lists[HELP_MAX_SECTIONS];
    size_t section_count;
    const struct config_rows *seen[HELP_MAX_SECTIONS]; /* by section: what it was filtered from */
    struct config_row rows[HELP_MAX_ROWS];
    size_t row_count;
};

static bool row_is_told(const struct config_row *row)
{
    for (const char *const *flag = withheld; *flag; flag++) {
        if (strcmp(row->flag, *flag) == 0) {
            return true;
        }
    }
    return config_find(&up_table, row->flag) != NULL;
}

static void help_add(struct help *help, const struct config_section *section)
{
    size_t first = help->row_count;
    for (size_t i = 0; i < help->section_count; i++) {
        if (help->seen[i] == section->rows) {
            return;
        }
    }
    for (size_t i = 0; i < section->rows->row_count && help->row_count < HELP_MAX_ROWS; i++) {
        if (!row_is_told(&section->rows->rows[i])) {
            help->rows[help->row_count++] = section->rows->rows[i];
        }
    }
    if (help->row_count > first && help->section_count < HELP_MAX_SECTIONS) {
        size_t at = help->section_count++;
        help->lists[at] = (struct config_rows){&help->rows[first], help->row_count - first};
        help->seen[at] = section->rows;
        help->sections[at] = (struct config_section){section->title, &help->lists[at], 0};
    }
}

void settings_print_help(FILE *to)
{
    AUTO(mem_release) struct help *help = mem_alloc(sizeof *help);
    struct config_section own = sections[0];
    struct config_row process_rows[8];
    struct config_rows process = {process_rows, 0};
    for (size_t i = 0; i < process_config_rows.row_count && process.row_count < ARRAY_COUNT(process_rows); i++) {
        if (strcmp(process_config_rows.rows[i].flag, "instance") != 0) {
            process_rows[process.row_count++] = process_config_rows.rows[i];
        }
    }
    help->sections[0] = own;
    help->sections[1] = (struct config_section){"Log (zmart.log in the data folder, unless --log-file names one)",
                                                &process, 0};
    help->seen[0] = own.rows;
    help->seen[1] = &process_config_rows;
    help->section_count = 2;
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        const struct config_table *table = rooms[id].program->config;
        for (size_t i = 0; i < table->section_count; i++) {
            help_add(help, &table->sections[i]);
        }
    }
    struct config_table all = up_table;
    all.sections = help->sections;
    all.section_count = help->section_count;
    config_print_help(&all, to);
}
