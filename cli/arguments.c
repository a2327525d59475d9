#include "cli/arguments.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

enum { FLAG_SIZE = 80 };

/* One flag as it was given. */
struct given {
    char flag[FLAG_SIZE];
    const char *word;  /* "--flag" or "--flag=value" */
    const char *value; /* the word behind it; NULL when it takes none */
};

/* What stands in "--flag", "--flag=value", "-f"; false if it is no flag at all. */
static bool flag_name(const char *word, char out[FLAG_SIZE])
{
    if (word[0] != '-' || word[1] == '\0') {
        return false;
    }
    const char *name = word + 1 + (word[1] == '-');
    struct text text = {name, (uint32_t)strcspn(name, "=")};
    return text.size > 0 && text_to_string(text, out, FLAG_SIZE);
}

static const struct config_row *row_known(const struct config_table *own, const struct config_table *const *room_tables,
                                          const char *flag)
{
    const struct config_row *row = config_find(own, flag);
    for (int i = 0; !row && room_tables[i]; i++) {
        row = config_find(room_tables[i], flag);
    }
    return row;
}

static void given_add(const struct given *given, struct words *words)
{
    words_add(words, given->word);
    if (given->value) {
        words_add(words, given->value);
    }
}

static void given_hand_out(const struct given *given, const struct config_table *own,
                           const struct config_table *const *room_tables, struct arguments *out)
{
    if (config_find(own, given->flag)) {
        given_add(given, &out->own);
        return;
    }
    for (int i = 0; room_tables[i]; i++) {
        if (config_find(room_tables[i], given->flag)) {
            given_add(given, &out->rooms[i]);
        }
    }
}

static bool is_listed(const char *flag, const char *const *list)
{
    for (; *list; list++) {
        if (strcmp(flag, *list) == 0) {
            return true;
        }
    }
    return false;
}

bool arguments_split(const struct config_table *own, const struct config_table *const *room_tables,
                     const char *const *withheld, const struct words *argv, struct arguments *out, char *message,
                     size_t message_size)
{
    words_add(&out->own, argv->count > 0 ? argv->items[0] : own->program);
    for (int i = 1; i < argv->count; i++) {
        struct given given = {.word = argv->items[i]};
        if (!flag_name(given.word, given.flag)) {
            snprintf(message, message_size, "unexpected argument \"%.100s\" (try --help)", given.word);
            return false;
        }
        if (is_listed(given.flag, withheld)) {
            snprintf(message, message_size, "--%s is set by up itself; the executables take it alone", given.flag);
            return false;
        }
        const struct config_row *row = row_known(own, room_tables, given.flag);
        if (!row) {
            snprintf(message, message_size, "unknown flag %.100s (try --help)", given.word);
            return false;
        }
        if (row->kind != CONFIG_SWITCH && !strchr(given.word, '=')) {
            if (i + 1 >= argv->count) {
                snprintf(message, message_size, "%.100s needs a value (try --help)", given.word);
                return false;
            }
            given.value = argv->items[++i];
        }
        given_hand_out(&given, own, room_tables, out);
    }
    return true;
}

void arguments_release(struct arguments *arguments)
{
    words_release(&arguments->own);
    for (int i = 0; i < ARGUMENTS_MAX_ROOMS; i++) {
        words_release(&arguments->rooms[i]);
    }
}
