/* `zmart ping SERVICE`: asks the broker who serves it. */
#ifndef ZMART_CLI_PING_H
#define ZMART_CLI_PING_H

#include "cli/words.h"

/* Prints one line; 0 when at least one worker takes requests. */
int ping_main(const struct words *argv);

#endif
