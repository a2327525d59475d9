/* The parts of a shop that a backup holds. */
#ifndef ZMART_CLI_ARCHIVE_PARTS_H
#define ZMART_CLI_ARCHIVE_PARTS_H

#include "cli/archive_file.h"
#include "lib/base/config.h"

/* In the order in which they are walked: what is held for an order comes before what the order says, so that no order
 * is lost that was placed before its holds were read; and what waits for the log before the log. NULL-terminated. */
extern const struct archive_part *const archive_parts[];
extern const size_t archive_part_count;
/* "order.orders" -> its part and kind; false if this program knows none of that name. */
MUST_USE bool archive_kind_find(const char *section, const struct archive_part **out_part,
                                const struct archive_kind **out_kind);

/* Where a shop's data is, for commands that open it themselves. */
#define ARCHIVE_STORE_CONFIG(X)                                                                                     \
    X(STRING, data, "data", "./data", 1, 900, "data folder of the shop")                                            \
    X(STRING, store, "store", "", 0, 1000, "where data lives: sqlite:DIR or mongodb://HOST/DATABASE; in the data folder if none")
CONFIG_DECLARE(archive_store_config, ARCHIVE_STORE_CONFIG);

/* The settings that a store is opened with. buffer holds the URL. */
struct store_config archive_store_settings(const struct archive_store_config *config, char buffer[ARCHIVE_PATH_SIZE]);
/* One line on the terminal, in place of the one before; nothing where stderr is none. part of whole says how far it is.
 */
void archive_progress(const char *what, int64_t rows, int64_t part, int64_t whole);
void archive_progress_end(void);

#endif
