/* Settings as tables: one row is a flag, an environment variable, a default, bounds and a line of help.
 *
 *     #define SHOP_CONFIG(X) \
 *         X(STRING, host, "host", "127.0.0.1", 0, 0,     "address to listen on") \
 *         X(NUMBER, port, "port", "8080",      0, 65535, "port to listen on; 0 takes a free one")
 *     CONFIG_DECLARE(shop_config, SHOP_CONFIG);          in the header: struct shop_config
 *     CONFIG_DEFINE(shop_config, SHOP_CONFIG)            in one .c file: its rows
 *
 * The flag --some-name is also the environment variable ZMART_SOME_NAME; a flag wins. */
#ifndef ZMART_BASE_CONFIG_H
#define ZMART_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/auto.h"
#include "lib/base/buffer.h"

enum config_kind { CONFIG_STRING, CONFIG_NUMBER, CONFIG_SWITCH };

struct config_row {
    enum config_kind kind;
    const char *flag;     /* without the dashes */
    size_t offset;        /* in the section's struct: const char *, int64_t or bool */
    const char *fallback; /* the default, spelled as on the command line; NULL: none */
    int64_t min, max;     /* NUMBER: bounds, both allowed; STRING: of the length, 0, 0 = 0..4096 */
    const char *prose;
};

struct config_rows {
    const struct config_row *rows;
    size_t row_count;
};

/* A program's settings are one struct made of sections. */
struct config_section {
    const char *title;
    const struct config_rows *rows;
    size_t offset; /* of the section's struct in the program's */
};

struct config_table {
    const char *program;
    const char *summary; /* one line */
    const char *usage;   /* what follows the program's name, for example "[flags]" */
    const struct config_section *sections;
    size_t section_count;
};

enum config_result { CONFIG_OK, CONFIG_HELP, CONFIG_BAD };

/* Fills out from defaults, environment and flags, in this order. Strings point into argv, the
 * environment or the table. Arguments that are no flags are moved to the front of argv + 1 and
 * counted in *out_rest_count, if that is not NULL; otherwise they are refused.
 * CONFIG_BAD: message says what is wrong, out is undefined. CONFIG_HELP: --help was asked for. */
MUST_USE enum config_result config_load(const struct config_table *table, int argc, char **argv, void *out,
                                        int *out_rest_count, char *message, size_t message_size);
/* What --help prints: every row with flag, environment variable, default, bounds and prose. */
void config_print_help(const struct config_table *table, FILE *to);
/* The row of --flag, or NULL. */
const struct config_row *config_find(const struct config_table *table, const char *flag);
/* "some-name" -> "ZMART_SOME_NAME"; false if it does not fit. */
MUST_USE bool config_env_name(const char *flag, char *out, size_t size);

#define CONFIG_TYPE_STRING const char *
#define CONFIG_TYPE_NUMBER int64_t
#define CONFIG_TYPE_SWITCH bool
#define CONFIG_MEMBER(kind, field, flag, fallback, min, max, prose) CONFIG_TYPE_##kind field;
#define CONFIG_DECLARE(name, ROWS) \
    struct name {                  \
        ROWS(CONFIG_MEMBER)        \
    };                             \
    extern const struct config_rows name##_rows

#define CONFIG_DEFINE(name, ROWS)                                                       \
    typedef struct name config_struct;                                                  \
    static const struct config_row config_row_list[] = {ROWS(CONFIG_ROW)};              \
    const struct config_rows name##_rows = {config_row_list, ARRAY_COUNT(config_row_list)};
#define CONFIG_ROW(kind, field, flag, fallback, min, max, prose) \
    {CONFIG_##kind, flag, offsetof(config_struct, field), fallback, min, max, prose},

#endif
