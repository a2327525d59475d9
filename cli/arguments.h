/* Sorts the flags given to `zmart up`: its own, and those that it hands to the rooms that know them.
 * Pure: looks at argv and tables only. */
#ifndef ZMART_CLI_ARGUMENTS_H
#define ZMART_CLI_ARGUMENTS_H

#include "cli/words.h"
#include "lib/base/config.h"

enum { ARGUMENTS_MAX_ROOMS = 16 };

struct arguments {
    struct words own;                        /* begins with argv[0] */
    struct words rooms[ARGUMENTS_MAX_ROOMS]; /* by index of the table; flags and values only */
};

/* A flag that own knows is own's; any other goes to every room whose table has it. A flag listed in withheld
 * (NULL-terminated) is refused, because up sets it. False: message says what is wrong; out is to be released either
 * way. */
MUST_USE bool arguments_split(const struct config_table *own, const struct config_table *const *room_tables,
                              const char *const *withheld, const struct words *argv, struct arguments *out,
                              char *message, size_t message_size);
void arguments_release(struct arguments *arguments);

#endif
