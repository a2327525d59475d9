/* `zmart restore`: a backup into an empty store. */
#ifndef ZMART_CLI_RESTORE_H
#define ZMART_CLI_RESTORE_H

#include "cli/words.h"

int restore_main(const struct words *argv);

#endif
