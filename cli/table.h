/* Rows of cells, laid out for people. Pure. */
#ifndef ZMART_CLI_TABLE_H
#define ZMART_CLI_TABLE_H

#include "lib/base/buffer.h"
#include "lib/base/mem.h"

enum { TABLE_MAX_COLUMNS = 10 };

struct table_column {
    const char *title;
    bool right; /* numbers: their ends meet */
};

/* Begin with {.arena, .columns, .column_count}; nothing in it is to be freed. */
struct table {
    struct arena *arena;
    const struct table_column *columns;
    uint32_t column_count; /* at most TABLE_MAX_COLUMNS */
    struct text *cells;    /* row after row */
    uint32_t cell_count, capacity;
};

/* The next cell; the text is borrowed until the table is written. */
void table_add(struct table *table, struct text cell);
void table_add_int(struct table *table, int64_t number);
/* "12 ms", "3.4 s", "5 min", "2 h": two digits are enough to see who is slow. */
void table_add_ms(struct table *table, int64_t duration_ms);
/* Appends titles and rows, each line ended; false only when out's maximum is reached. Cells of a row begun are shown.
 */
MUST_USE bool table_write(const struct table *table, struct buffer *out);

#endif
