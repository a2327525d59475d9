#include "cli/keys.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/settings.h"
#include "cli/shop.h"
#include "cli/table.h"
#include "lib/bus/key_files.h"
#include "lib/bus/main.h"

#define KEYS_CONFIG(X)                                                                                                \
    X(STRING, keys, "keys", "", 0, 900, "folder of the keys; it is made with the first one")                          \
    X(STRING, role, "role", "", 0, 20, "gateway, worker, operator or subscriber; the broker's own key needs none")    \
    X(STRING, services, "services", "", 0, 255, \
      "what a worker serves, by commas: product, order, user, event, webhook, mail") \
    X(STRING, calls, "calls", "", 0, 255,                                                                             \
      "services that may be called, * for all; gateway: * if nothing is said, operator: mmi")                         \
    X(SWITCH, json, "json", "no", 0, 0, "list for scripts")
CONFIG_DECLARE(keys_config, KEYS_CONFIG);
CONFIG_DEFINE(keys_config, KEYS_CONFIG)

enum { LIST_MAX_SIZE = 2 * KEYS_FILE_MAX_SIZE };

static const struct config_section sections[] = {{"Keys", &keys_config_rows, 0}};
static const struct config_table table = {.program = "zmart keys",
                                          .summary = "makes CURVE keys, and says who may speak on TCP",
                                          .usage = "new NAME | allow NAME KEY-OR-FILE | revoke NAME | list [flags]",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

struct keys_command {
    struct keys_config config;
    const char *name, *key; /* what stands behind the verb; NULL: nothing */
    char message[SETTINGS_MESSAGE_SIZE];
};

static int refuse(const struct keys_command *command)
{
    return shop_refuse("%s", command->message);
}

/* ---- new, allow ---- */

/* Everything but the key itself. False: message says what is wrong. */
static bool grant_read(struct keys_command *command, struct key_grant *out)
{
    const struct keys_config *config = &command->config;
    struct key_grant grant = {0};
    if (!key_role_parse(text_of(config->role), &grant.role)) {
        snprintf(command->message, sizeof command->message,
                 "--role takes gateway, worker, operator or subscriber, not \"%.20s\"", config->role);
        return false;
    }
    const char *usual = grant.role == KEY_GATEWAY ? "*" : grant.role == KEY_OPERATOR ? "mmi" : "";
    const char *calls = config->calls[0] ? config->calls : usual;
    if (!key_name_is_good(text_of(command->name)) || strcmp(command->name, KEY_BROKER_NAME) == 0 ||
        !text_to_string(text_of(command->name), grant.name, sizeof grant.name) ||
        !text_to_string(text_of(config->services), grant.services, sizeof grant.services) ||
        !text_to_string(text_of(calls), grant.calls, sizeof grant.calls)) {
        snprintf(command->message, sizeof command->message,
                 "a name has 1 to 40 letters, digits and _ . -, and is not broker, which is the broker's own");
        return false;
    }
    *out = grant;
    return true;
}

static void grant_tell(const struct key_grant *grant, const char *folder, bool own)
{
    printf("%s may speak: %s%s%s%s%s\n", grant->name, key_role_name(grant->role),
           grant->services[0] ? ", serves " : "", grant->services, grant->calls[0] ? ", calls " : "", grant->calls);
    printf("public %s\n", grant->key);
    if (own) {
        printf("take %s/%s.secret, %s.public and broker.public to where it runs; the secret belongs nowhere else\n",
               folder, grant->name, grant->name);
    }
}

bool keys_server_make(const char *folder, char *message, size_t message_size)
{
    AUTO(key_pair_forget) struct key_pair pair;
    if (!key_folder_make(folder, message, message_size)) {
        return false;
    }
    if (!key_secret_exists(folder, KEY_BROKER_NAME) &&
        (!key_pair_make(&pair, message, message_size) ||
         !key_pair_save(folder, KEY_BROKER_NAME, &pair, message, message_size))) {
        return false;
    }
    return key_allowed_make(folder, message, message_size);
}

static int server_new(struct keys_command *command)
{
    const char *folder = command->config.keys;
    char public_key[KEY_TEXT_SIZE];
    if (command->config.role[0] && strcmp(command->config.role, KEY_BROKER_NAME) != 0) {
        return shop_refuse("broker is the name of the broker's own key, which has no role");
    }
    if (key_secret_exists(folder, KEY_BROKER_NAME)) {
        return shop_refuse("%s/broker.secret is there already", folder);
    }
    if (!keys_server_make(folder, command->message, sizeof command->message) ||
        !key_public_of(folder, KEY_BROKER_NAME, public_key, command->message, sizeof command->message)) {
        return refuse(command);
    }
    printf("the broker's key is made; whoever connects needs %s/broker.public\npublic %s\n", folder, public_key);
    return PROCESS_OK;
}

static int key_new(struct keys_command *command)
{
    const char *folder = command->config.keys;
    struct key_grant grant;
    AUTO(key_pair_forget) struct key_pair pair;
    size_t size = sizeof command->message;
    if (strcmp(command->name, KEY_BROKER_NAME) == 0) {
        return server_new(command);
    }
    if (!grant_read(command, &grant) || !key_pair_make(&pair, command->message, size)) {
        return refuse(command);
    }
    memcpy(grant.key, pair.public_key, sizeof grant.key);
    if (!key_grant_check(&grant, command->message, size) || !keys_server_make(folder, command->message, size) ||
        !key_pair_save(folder, grant.name, &pair, command->message, size)) {
        return refuse(command);
    }
    if (!key_allowed_add(folder, &grant, command->message, size)) {
        key_files_remove(folder, grant.name);
        return refuse(command);
    }
    grant_tell(&grant, folder, true);
    return PROCESS_OK;
}

static int key_allow(struct keys_command *command)
{
    const char *folder = command->config.keys;
    struct key_grant grant;
    size_t size = sizeof command->message;
    bool is_key = key_text_is_good(text_of(command->key)) && access(command->key, F_OK) != 0;
    if (!grant_read(command, &grant)) {
        return refuse(command);
    }
    if (is_key) {
        snprintf(grant.key, sizeof grant.key, "%s", command->key);
    } else if (!key_public_load(command->key, grant.key, command->message, size)) {
        return refuse(command);
    }
    if (!key_folder_make(folder, command->message, size) || !key_allowed_add(folder, &grant, command->message, size)) {
        return refuse(command);
    }
    grant_tell(&grant, folder, false);
    return PROCESS_OK;
}

/* ---- revoke, list ---- */

static int key_revoke(struct keys_command *command)
{
    const char *folder = command->config.keys;
    if (!key_allowed_remove(folder, command->name, command->message, sizeof command->message)) {
        return refuse(command);
    }
    bool own = key_secret_exists(folder, command->name);
    key_files_remove(folder, command->name);
    printf("%s may no longer speak%s; brokers drop it within seconds\n", command->name,
           own ? ", and its files are removed" : "");
    return PROCESS_OK;
}

static bool names_write(struct buffer *out, const char *title, const char *names)
{
    struct text rest = text_of(names), one;
    buffer_printf(out, ",\"%s\":[", title);
    for (bool first = true; names[0] && text_cut(&rest, ',', &one); first = false) {
        if (!first) {
            buffer_add_char(out, ',');
        }
        buffer_add_json_string(out, one);
    }
    return buffer_add_char(out, ']');
}

static void list_json(const struct key_grants *grants, const char *folder, struct buffer *out)
{
    buffer_add_string(out, "{\"keys\":[");
    for (uint32_t i = 0; i < grants->count; i++) {
        const struct key_grant *grant = &grants->list[i];
        buffer_add_string(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        buffer_add_json_string(out, text_of(grant->name));
        buffer_add_string(out, ",\"role\":");
        buffer_add_json_string(out, text_of(key_role_name(grant->role)));
        names_write(out, "services", grant->services);
        names_write(out, "calls", grant->calls);
        buffer_add_string(out, ",\"public\":");
        buffer_add_json_string(out, text_of(grant->key));
        buffer_add_string(out, key_secret_exists(folder, grant->name) ? ",\"secret_here\":true}"
                                                                      : ",\"secret_here\":false}");
    }
    buffer_add_string(out, "]}\n");
}

static void list_people(const struct key_grants *grants, const char *folder, struct buffer *out)
{
    static const struct table_column columns[] = {{"name", false},  {"role", false},       {"serves", false},
                                                  {"calls", false}, {"public key", false}, {"secret", false}};
    AUTO(arena_release) struct arena arena = {0};
    struct table rows = {.arena = &arena, .columns = columns, .column_count = ARRAY_COUNT(columns)};
    for (uint32_t i = 0; i < grants->count; i++) {
        const struct key_grant *grant = &grants->list[i];
        table_add(&rows, text_of(grant->name));
        table_add(&rows, text_of(key_role_name(grant->role)));
        table_add(&rows, text_of(grant->services[0] ? grant->services : "-"));
        table_add(&rows, text_of(grant->calls[0] ? grant->calls : "-"));
        table_add(&rows, text_of(grant->key));
        table_add(&rows, text_of(key_secret_exists(folder, grant->name) ? "here" : "elsewhere"));
    }
    if (!table_write(&rows, out)) {
        buffer_clear(out); /* too much for a terminal: sticky, and told by the caller */
    }
}

static int keys_list(struct keys_command *command)
{
    struct key_grants grants;
    AUTO(buffer_release) struct buffer out;
    buffer_init(&out, LIST_MAX_SIZE);
    if (!key_allowed_load(command->config.keys, &grants, command->message, sizeof command->message)) {
        return refuse(command);
    }
    (command->config.json ? list_json : list_people)(&grants, command->config.keys, &out);
    key_grants_release(&grants);
    fwrite(out.data, 1, out.size, stdout);
    return PROCESS_OK;
}

/* ---- the command ---- */

static const struct verb {
    const char *name;
    int word_count; /* behind it */
    int (*run)(struct keys_command *command);
} verbs[] = {{"new", 1, key_new}, {"allow", 2, key_allow}, {"revoke", 1, key_revoke}, {"list", 0, keys_list}};

static const struct verb *verb_find(const char *name, int word_count)
{
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(verbs[i].name, name) == 0 && verbs[i].word_count == word_count) {
            return &verbs[i];
        }
    }
    return NULL;
}

int keys_main(const struct words *argv)
{
    struct keys_command command = {0};
    int rest_count = 0;
    char **items = argv->items;
    switch (config_load(&table, argv->count, items, &command.config, &rest_count, command.message,
                        sizeof command.message)) {
    case CONFIG_HELP: config_print_help(&table, stdout); return PROCESS_OK;
    case CONFIG_BAD: refuse(&command); return PROCESS_BAD_CONFIG;
    case CONFIG_OK: break;
    }
    const struct verb *verb = rest_count > 0 ? verb_find(items[1], rest_count - 1) : NULL;
    if (!verb) {
        shop_refuse("zmart keys %s (try zmart keys --help)", table.usage);
        return PROCESS_BAD_CONFIG;
    }
    if (!command.config.keys[0]) {
        shop_refuse("--keys DIR names the folder of the keys");
        return PROCESS_BAD_CONFIG;
    }
    command.name = rest_count > 1 ? items[2] : NULL;
    command.key = rest_count > 2 ? items[3] : NULL;
    return verb->run(&command);
}
