/* `zmart keys`: makes CURVE keys, and says who may speak on TCP. Secrets go into files only, never to the terminal. */
#ifndef ZMART_CLI_KEYS_H
#define ZMART_CLI_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/words.h"
#include "lib/base/auto.h"

int keys_main(const struct words *argv);
/* What a broker needs in its folder: the folder, its own pair, an allowlist; what is missing is made. */
MUST_USE bool keys_server_make(const char *folder, char *message, size_t message_size);

#endif
