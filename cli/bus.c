#include "cli/bus.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/shop.h"
#include "lib/base/clock.h"
#include "lib/bus/main.h"

CONFIG_DEFINE(bus_command_config, BUS_COMMAND_CONFIG)

enum { OUTPUT_MAX_SIZE = 16 * 1024 * 1024 };

static const struct config_section sections[] = {
    {"Bus", &bus_command_config_rows, offsetof(struct bus_command, config)},
    {"Shop", &operator_config_rows, offsetof(struct bus_command, shop)}};
static const struct config_table table = {.program = "zmart bus",
                                          .summary = "shows what the brokers of a shop do, and their dead letters",
                                          .usage = "status|workers|queues|dlq [list|requeue ID|drop ID] [flags]",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

/* ---- what is asked for ---- */

static bool topic_read(const char *word, enum bus_topic *out)
{
    static const char *const names[] = {[BUS_STATUS] = "status",
                                        [BUS_TOPIC_WORKERS] = "workers",
                                        [BUS_TOPIC_QUEUES] = "queues",
                                        [BUS_TOPIC_DLQ] = "dlq"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(word, names[i]) == 0) {
            *out = (enum bus_topic)i;
            return true;
        }
    }
    return false;
}

/* "--watch" may stand alone. */
static void words_copy(const struct words *argv, struct words *out)
{
    for (int i = 0; i < argv->count; i++) {
        int64_t number;
        bool alone = strcmp(argv->items[i], "--watch") == 0 &&
                     (i + 1 == argv->count || !text_to_int(text_of(argv->items[i + 1]), &number));
        words_add(out, alone ? "--watch=2" : argv->items[i]);
    }
}

static bool letter_read(char *const *rest, int count, struct bus_command *out, char *message)
{
    uint8_t id[ID_SIZE];
    out->action = MMI_DLQ_LIST;
    if (count == 0 || (count == 1 && strcmp(rest[0], "list") == 0)) {
        return true;
    }
    bool requeue = strcmp(rest[0], "requeue") == 0;
    if ((!requeue && strcmp(rest[0], "drop") != 0) || count != 2) {
        snprintf(message, BUS_COMMAND_MESSAGE_SIZE, "bus dlq takes list, requeue ID or drop ID (try zmart bus --help)");
        return false;
    }
    if (!id_from_hex(text_of(rest[1]), id)) {
        snprintf(message, BUS_COMMAND_MESSAGE_SIZE, "a request id has 32 hexadecimal digits, unlike \"%.60s\"",
                 rest[1]);
        return false;
    }
    out->action = requeue ? MMI_DLQ_REQUEUE : MMI_DLQ_DROP;
    out->request_id = rest[1];
    return true;
}

enum config_result bus_command_read(const struct words *argv, struct words *words, struct bus_command *out,
                                    char message[BUS_COMMAND_MESSAGE_SIZE])
{
    int rest = 0;
    words_copy(argv, words);
    *out = (struct bus_command){0};
    enum config_result result =
        config_load(&table, words->count, words->items, out, &rest, message, BUS_COMMAND_MESSAGE_SIZE);
    if (result != CONFIG_OK) {
        return result;
    }
    if (rest < 1 || !topic_read(words->items[1], &out->topic) || (rest > 1 && out->topic != BUS_TOPIC_DLQ)) {
        snprintf(message, BUS_COMMAND_MESSAGE_SIZE, "bus takes status, workers, queues or dlq (try zmart bus --help)");
        return CONFIG_BAD;
    }
    if (out->topic == BUS_TOPIC_DLQ && !letter_read(words->items + 2, rest - 1, out, message)) {
        return CONFIG_BAD;
    }
    if (out->action != MMI_DLQ_LIST && out->config.watch_s > 0) {
        snprintf(message, BUS_COMMAND_MESSAGE_SIZE, "--watch only looks: it cannot go with requeue or drop");
        return CONFIG_BAD;
    }
    return CONFIG_OK;
}

/* ---- asking ---- */

/* Asks for one record; NULL, and view->error, if there is no answer. */
static const void *record_ask(struct console *console, int broker, const struct operator_question *question,
                              struct arena *arena, struct bus_view *view)
{
    struct fault fault;
    fault_init(&fault, arena);
    void *out = arena_alloc(arena, question->reply->size);
    int64_t start_us = clock_now_us();
    enum err e = view->error ? ERR_EXPIRED : operator_ask(console, broker, question, arena, &fault, out);
    if (e == ERR_NONE) {
        view->answered_us = clock_now_us() - start_us;
        return out;
    }
    if (!view->error) {
        const char *detail = fault.detail[0] ? fault.detail : err_info(e)->title;
        view->error = arena_copy(arena, detail, strlen(detail) + 1);
    }
    return NULL;
}

static void view_ask(struct console *console, int broker, const struct bus_command *command, struct arena *arena,
                     struct bus_view *out)
{
    static const struct nothing nothing;
    static const struct mmi_dlq list = {.action = MMI_DLQ_LIST};
    bool all = command->topic == BUS_STATUS;
    struct operator_question question = {.request = &nothing_record, .in = &nothing};
    *out = (struct bus_view){.address = operator_address(console, broker)};
    if (all || command->topic == BUS_TOPIC_WORKERS) {
        question.route = "mmi.workers";
        question.reply = &mmi_worker_list_record;
        out->workers = record_ask(console, broker, &question, arena, out);
    }
    if (all || command->topic == BUS_TOPIC_DLQ) {
        struct operator_question letters = question;
        letters.route = "mmi.dlq";
        letters.request = &mmi_dlq_record;
        letters.in = &list;
        letters.reply = &mmi_dead_letters_record;
        out->letters = record_ask(console, broker, &letters, arena, out);
    }
    if (all || command->topic == BUS_TOPIC_QUEUES) {
        question.route = "mmi.queues";
        question.reply = &mmi_queue_list_record;
        out->queues = record_ask(console, broker, &question, arena, out);
    }
}

/* ---- showing ---- */

static bool output_write(const struct buffer *out)
{
    size_t written = 0;
    while (written < out->size) {
        ssize_t size = write(STDOUT_FILENO, out->data + written, out->size - written);
        if (size <= 0) {
            return false;
        }
        written += (size_t)size;
    }
    return true;
}

static bool views_print(const struct bus_command *command, const struct bus_view *views, int count, struct arena *arena)
{
    static const char home_and_clear[] = "\033[H\033[2J";
    AUTO(buffer_release) struct buffer out;
    buffer_init(&out, OUTPUT_MAX_SIZE);
    bool live = command->config.watch_s > 0 && isatty(STDOUT_FILENO);
    bool added = command->config.json ? bus_show_json(views, count, &out)
                                      : buffer_add_string(&out, live ? home_and_clear : "") &&
                                            bus_show_tables(command->topic, views, count, arena, &out) &&
                                            (command->config.watch_s == 0 || live || buffer_add_char(&out, '\n'));
    return added && output_write(&out);
}

/* In a table an error is told where its broker stands; without --watch also as the command's own, on stderr. */
static int views_show(struct console *console, const struct bus_command *command)
{
    AUTO(arena_release) struct arena arena = {0};
    struct bus_view views[BUS_MAX_BROKERS];
    int count = operator_broker_count(console);
    const char *error = NULL;
    int answered_count = 0;
    for (int i = 0; i < count; i++) {
        view_ask(console, i, command, &arena, &views[i]);
        error = error ? error : views[i].error;
        answered_count += views[i].error == NULL;
    }
    bool once = command->config.watch_s == 0;
    if (once && error) {
        shop_refuse("%s", error);
    }
    if ((!once || command->config.json || answered_count > 0) && !views_print(command, views, count, &arena)) {
        return PROCESS_FAILED;
    }
    return error && once ? PROCESS_FAILED : PROCESS_OK;
}

static int views_watch(struct console *console, const struct bus_command *command)
{
    int status;
    struct timespec pause = {.tv_sec = command->config.watch_s};
    while ((status = views_show(console, command)) == PROCESS_OK && command->config.watch_s > 0) {
        nanosleep(&pause, NULL);
    }
    return status;
}

/* A dead letter is in the store, where each broker finds it, or still with one of the brokers. */
static int letter_act(struct console *console, const struct bus_command *command)
{
    bool requeue = command->action == MMI_DLQ_REQUEUE;
    struct mmi_dlq order = {
        .action = command->action, .request_id = text_of(command->request_id), .budget_ms = command->config.budget_ms};
    set_has(mmi_dlq, &order, action);
    set_has(mmi_dlq, &order, request_id);
    if (requeue) {
        set_has(mmi_dlq, &order, budget_ms);
    }
    struct operator_question question = {
        .route = "mmi.dlq", .request = &mmi_dlq_record, .in = &order, .reply = &mmi_dead_letters_record};
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault, unseen;
    fault_init(&unseen, &arena);
    for (int i = 0; i < operator_broker_count(console); i++) {
        struct mmi_dead_letters left;
        fault_init(&fault, &arena);
        enum err e = operator_ask(console, i, &question, &arena, &fault, &left);
        if (e == ERR_NONE) {
            struct bus_view view = {.address = operator_address(console, i), .letters = &left};
            if (command->config.json) {
                return views_print(command, &view, 1, &arena) ? PROCESS_OK : PROCESS_FAILED;
            }
            printf("%s %s; dead letters left: %" PRId64 "\n", requeue ? "requeued" : "dropped", command->request_id,
                   left.count);
            return PROCESS_OK;
        }
        if (e == ERR_SERVICE_UNAVAILABLE) { /* another broker may have it in memory */
            unseen = fault;
        } else if (e != ERR_NOT_FOUND) {
            return shop_refuse("%s", fault.detail[0] ? fault.detail : err_info(e)->title);
        }
    }
    if (unseen.code != ERR_NONE) {
        return shop_refuse("%s", unseen.detail);
    }
    return shop_refuse("no broker has a dead letter %s (see zmart bus dlq)", command->request_id);
}

int bus_main(const struct words *argv)
{
    char message[BUS_COMMAND_MESSAGE_SIZE];
    struct bus_command command;
    AUTO(words_release) struct words words = {0};
    switch (bus_command_read(argv, &words, &command, message)) {
    case CONFIG_HELP: config_print_help(&table, stdout); return PROCESS_OK;
    case CONFIG_BAD: shop_refuse("%s", message); return PROCESS_BAD_CONFIG;
    case CONFIG_OK: break;
    }
    AUTO(operator_destroy) struct console *console = operator_new(&command.shop, message, sizeof message);
    if (!console) {
        return shop_refuse("%s", message);
    }
    return command.action == MMI_DLQ_LIST ? views_watch(console, &command) : letter_act(console, &command);
}
