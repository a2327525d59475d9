/* Which version of each document was read: so many as there are products, and so on the disk, in a file that nobody
 * else sees and that is gone with the handle. Memory: SQLite's page cache. */
#ifndef ZMART_STORE_ARCHIVE_VERSIONS_H
#define ZMART_STORE_ARCHIVE_VERSIONS_H

#include "proto/fault.h"

struct archive_versions;

/* SERVICE_UNAVAILABLE, with a detail that says what to do, if the disk takes no more; so below. */
MUST_USE enum err archive_versions_new(struct fault *fault, struct archive_versions **out);
void archive_versions_destroy(struct archive_versions **self);
/* Instead of the one before. */
MUST_USE enum err archive_versions_put(struct archive_versions *self, struct text id, int64_t version,
                                       struct fault *fault);
/* 0: none was put. */
MUST_USE enum err archive_versions_find(struct archive_versions *self, struct text id, struct fault *fault,
                                        int64_t *out);

#endif
