/* Orders and holds of a backup side by side: both sections are in the order of order ids, so whatever fits is passed
 * over without asking the store, and only the rest is settled (books.h). So are the orders whose holds are others in
 * the store than in the file, because a product said so: their ids are noted in a temporary file. */
#ifndef ZMART_CLI_BOOKS_JOIN_H
#define ZMART_CLI_BOOKS_JOIN_H

#include "cli/books.h"

struct books_join;

/* Reads the file's holds beside whoever reads its orders. NULL: message says why. */
struct books_join *books_join_new(const char *path, char *message);
void books_join_destroy(struct books_join **self);
/* Each row of product.pending, before the orders. */
MUST_USE enum err books_join_pending(struct books_join *self, struct archive *archive, const struct archive_row *row,
                                     int64_t now_ms, struct fault *fault);
/* The next row of order.orders. */
MUST_USE enum err books_join_order(struct books_join *self, struct archive *archive, const struct archive_row *row,
                                   int64_t now_ms, struct books *books, struct fault *fault);
/* Each row of product.pending once more, after the orders. */
MUST_USE enum err books_join_left(struct books_join *self, struct archive *archive, const struct archive_row *row,
                                  int64_t now_ms, struct books *books, struct fault *fault);
/* After the last order. */
MUST_USE enum err books_join_end(struct books_join *self, struct archive *archive, int64_t now_ms, struct books *books,
                                 struct fault *fault);

#endif
