/* `zmart tail`: the events of the PUB socket as lines, with what was missed asked for again. */
#ifndef ZMART_CLI_TAIL_H
#define ZMART_CLI_TAIL_H

#include "cli/words.h"

/* Until a signal ends it, or --count events were shown. 0; 1 when something was missed and could not be had; 2 for bad
 * usage. */
int tail_main(const struct words *argv);

#endif
