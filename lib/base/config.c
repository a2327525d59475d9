#include "lib/base/config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"

enum { CONFIG_STRING_MAX_SIZE = 4096, CONFIG_ENV_NAME_SIZE = 64 };

bool config_env_name(const char *flag, char *out, size_t size)
{
    int length = snprintf(out, size, "ZMART_%s", flag);
    for (char *at = out; length > 0 && *at; at++) {
        *at = *at == '-' ? '_' : *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
    }
    return length > 0 && (size_t)length < size;
}

/* A value, and how whoever gave it called its row: "--port" or "ZMART_PORT". */
struct given {
    const char *name;
    const char *value;
};

struct complaint {
    char *text;
    size_t size;
};

static bool number_read(const struct config_row *row, struct given given, int64_t *out, struct complaint complaint)
{
    int64_t number;
    if (!text_to_int(text_of(given.value), &number) || number < row->min || number > row->max) {
        snprintf(complaint.text, complaint.size,
                 "%s takes a whole number from %" PRId64 " to %" PRId64 ", not \"%.100s\"",
                 given.name, row->min, row->max, given.value);
        return false;
    }
    *out = number;
    return true;
}

static bool switch_read(struct given given, bool *out, struct complaint complaint)
{
    static const char *const yes[] = {"1", "true", "yes", "on"};
    static const char *const no[] = {"0", "false", "no", "off", ""};
    for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
        if (strcmp(given.value, yes[i]) == 0) {
            *out = true;
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(no); i++) {
        if (strcmp(given.value, no[i]) == 0) {
            *out = false;
            return true;
        }
    }
    snprintf(complaint.text, complaint.size, "%s takes yes or no, not \"%.100s\"", given.name, given.value);
    return false;
}

static size_t length_max(const struct config_row *row)
{
    return row->max ? (size_t)row->max : CONFIG_STRING_MAX_SIZE;
}

static bool value_store(const struct config_section *section, const struct config_row *row, struct given given,
                        void *out, struct complaint complaint)
{
    char *at = (char *)out + section->offset + row->offset;
    if (row->kind == CONFIG_NUMBER) {
        int64_t number;
        if (!number_read(row, given, &number, complaint)) {
            return false;
        }
        memcpy(at, &number, sizeof number);
        return true;
    }
    if (row->kind == CONFIG_SWITCH) {
        bool on;
        if (!switch_read(given, &on, complaint)) {
            return false;
        }
        memcpy(at, &on, sizeof on);
        return true;
    }
    size_t length = strlen(given.value);
    if (length > length_max(row) || length < (size_t)row->min) {
        snprintf(complaint.text, complaint.size, "%s takes %" PRId64 " to %zu characters, not %zu", given.name,
                 row->min, length_max(row), length);
        return false;
    }
    memcpy(at, &given.value, sizeof given.value);
    return true;
}

static bool defaults_store(const struct config_table *table, void *out, char *message, size_t size)
{
    for (size_t s = 0; s < table->section_count; s++) {
        const struct config_section *section = &table->sections[s];
        for (size_t r = 0; r < section->rows->row_count; r++) {
            const struct config_row *row = &section->rows->rows[r];
            char name[CONFIG_ENV_NAME_SIZE];
            struct given given = {.name = name,
                                  .value = config_env_name(row->flag, name, sizeof name) ? getenv(name) : NULL};
            given.value = given.value ? given.value : row->fallback;
            if (!given.value && row->kind == CONFIG_STRING) {
                memcpy((char *)out + section->offset + row->offset, &given.value, sizeof given.value);
                continue;
            }
            given.value = given.value ? given.value : "0";
            if (!value_store(section, row, given, out, (struct complaint){message, size})) {
                return false;
            }
        }
    }
    return true;
}

static const struct config_row *row_find(const struct config_table *table, struct text flag,
                                         const struct config_section **out_section)
{
    for (size_t s = 0; s < table->section_count; s++) {
        const struct config_rows *rows = table->sections[s].rows;
        for (size_t r = 0; r < rows->row_count; r++) {
            if (text_is(flag, rows->rows[r].flag)) {
                *out_section = &table->sections[s];
                return &rows->rows[r];
            }
        }
    }
    return NULL;
}

const struct config_row *config_find(const struct config_table *table, const char *flag)
{
    const struct config_section *section;
    return row_find(table, text_of(flag), &section);
}

static const char *row_dashes(const struct config_row *row)
{
    return row->flag[1] == '\0' ? "-" : "--";
}

/* One flag, "--name value" or "--name=value" or "-j value"; *at is left on its last argument. */
static bool flag_store(const struct config_table *table, int argc, char **argv, int *at, void *out, char *message,
                       size_t size)
{
    const char *argument = argv[*at];
    const char *name = argument + 1 + (argument[1] == '-');
    const char *equals = strchr(name, '=');
    struct text flag = {name, (uint32_t)(equals ? (size_t)(equals - name) : strlen(name))};
    const struct config_section *section;
    const struct config_row *row = row_find(table, flag, &section);
    if (!row) {
        snprintf(message, size, "unknown flag %.100s (try --help)", argument);
        return false;
    }
    char shown[CONFIG_ENV_NAME_SIZE];
    snprintf(shown, sizeof shown, "%s%s", row_dashes(row), row->flag);
    struct given given = {.name = shown, .value = equals ? equals + 1 : NULL};
    if (!given.value && row->kind == CONFIG_SWITCH) {
        given.value = "yes";
    }
    if (!given.value) {
        if (*at + 1 >= argc) {
            snprintf(message, size, "%s needs a value (try --help)", shown);
            return false;
        }
        given.value = argv[++*at];
    }
    return value_store(section, row, given, out, (struct complaint){message, size});
}

enum config_result config_load(const struct config_table *table, int argc, char **argv, void *out,
                               int *out_rest_count, char *message, size_t message_size)
{
    int rest = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return CONFIG_HELP;
        }
    }
    if (!defaults_store(table, out, message, message_size)) {
        return CONFIG_BAD;
    }
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!flag_store(table, argc, argv, &i, out, message, message_size)) {
                return CONFIG_BAD;
            }
        } else if (out_rest_count) {
            char *word = argv[i];
            memmove(&argv[rest + 2], &argv[rest + 1], (size_t)(i - rest - 1) * sizeof *argv);
            argv[1 + rest++] = word;
        } else {
            snprintf(message, message_size, "unexpected argument \"%.100s\" (try --help)", argv[i]);
            return CONFIG_BAD;
        }
    }
    if (out_rest_count) {
        *out_rest_count = rest;
    }
    return CONFIG_OK;
}

/* Names end in their unit; a number that counts has none. */
static const char *row_unit(const struct config_row *row)
{
    static const struct {
        const char *word, *unit;
    } units[] = {{"-ms", " milliseconds"}, {"-us", " microseconds"}, {"-s", " seconds"},     {"-hours", " hours"},
                 {"-days", " days"},       {"-kib", " KiB"},         {"-bytes", " bytes"},   {"-size", " bytes"},
                 {"-percent", " percent"}, {"-permille", " thousandths"}};
    const char *last = strrchr(row->flag, '-');
    for (size_t i = 0; last && i < ARRAY_COUNT(units); i++) {
        if (strcmp(last, units[i].word) == 0) {
            return units[i].unit;
        }
    }
    return "";
}

static void row_print(const struct config_row *row, FILE *to)
{
    char name[CONFIG_ENV_NAME_SIZE];
    fprintf(to, "  %s%s%s\n      %s", row_dashes(row), row->flag,
            row->kind == CONFIG_NUMBER ? " N" : row->kind == CONFIG_STRING ? " TEXT" : "", row->prose);
    fprintf(to, "\n      [%s", config_env_name(row->flag, name, sizeof name) ? name : "");
    if (row->kind == CONFIG_NUMBER) {
        fprintf(to, "; %" PRId64 "..%" PRId64 "%s", row->min, row->max, row_unit(row));
    } else if (row->kind == CONFIG_STRING) {
        fprintf(to, "; %" PRId64 "..%zu characters", row->min, length_max(row));
    }
    fprintf(to, "; default: %s]\n", row->fallback && row->fallback[0] ? row->fallback : "none");
}

void config_print_help(const struct config_table *table, FILE *to)
{
    fprintf(to, "%s - %s\n\nusage: %s %s\n", table->program, table->summary, table->program, table->usage);
    for (size_t s = 0; s < table->section_count; s++) {
        const struct config_section *section = &table->sections[s];
        fprintf(to, "\n%s:\n", section->title);
        for (size_t r = 0; r < section->rows->row_count; r++) {
            row_print(&section->rows->rows[r], to);
        }
    }
}
