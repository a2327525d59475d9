/* What the files behind archive.h share; nobody else includes it. */
#ifndef ZMART_STORE_ARCHIVE_PARTS_H
#define ZMART_STORE_ARCHIVE_PARTS_H

#include "lib/store/archive.h"

struct part_store {
    const struct archive_part *part;
    struct sqlite_db *sqlite; /* owned; or */
    struct mongo_pool *pool;  /* both owned */
    struct mongo_db *mongo;
    bool in_unit;
    int64_t put_count; /* since the last commit */
    /* MongoDB: rows of one kind on their way */
    struct mongo_bulk *bulk;
    const struct archive_kind *bulk_kind;
    size_t bulk_size;
    struct archive_versions *versions; /* MongoDB: of what was walked; may be NULL */
};

/* archive_mongo.c: as archive_walk and archive_put, of one part. */
MUST_USE enum err archive_mongo_walk(struct part_store *store, const struct archive_kind *kind, archive_visit *visit,
                                     void *user, struct fault *fault);
MUST_USE enum err archive_mongo_put(struct part_store *store, const struct archive_kind *kind,
                                    const struct archive_row *row, struct fault *fault);
/* What was put is stored. */
MUST_USE enum err archive_mongo_end(struct part_store *store, struct fault *fault);

#endif
