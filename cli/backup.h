/* `zmart backup`: everything that a shop keeps, in one file; once, or on a schedule. */
#ifndef ZMART_CLI_BACKUP_H
#define ZMART_CLI_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/words.h"
#include "lib/base/auto.h"

int backup_main(const struct words *argv);
/* "90s", "15m", "6h", "7d" in milliseconds, a minute at least but for seconds; false for anything else. */
MUST_USE bool backup_interval(const char *text, int64_t *out_ms);
/* Removes the oldest backups of a folder beyond the newest keep; others' files stay. Returns how many are gone. */
int backup_prune(const char *folder, int64_t keep);

#endif
