#include "cli/table.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/invariant.h"

enum { FIRST_CAPACITY = 64, NUMBER_SIZE = 24, GAP = 2 };

void table_add(struct table *table, struct text cell)
{
    ASSERT(table->column_count >= 1 && table->column_count <= TABLE_MAX_COLUMNS);
    if (table->cell_count == table->capacity) {
        uint32_t capacity = table->capacity ? table->capacity * 2 : FIRST_CAPACITY;
        struct text *cells = arena_alloc(table->arena, capacity * sizeof *cells);
        if (table->cell_count) {
            memcpy(cells, table->cells, table->cell_count * sizeof *cells);
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    table->cells[table->cell_count++] = cell;
}

static void string_add(struct table *table, const char *string)
{
    size_t size = strlen(string);
    table_add(table, (struct text){arena_copy(table->arena, string, size), (uint32_t)size});
}

void table_add_int(struct table *table, int64_t number)
{
    char text[NUMBER_SIZE];
    snprintf(text, sizeof text, "%" PRId64, number);
    string_add(table, text);
}

void table_add_ms(struct table *table, int64_t duration_ms)
{
    enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };
    char text[2 * NUMBER_SIZE];
    if (duration_ms < SECOND_MS) {
        snprintf(text, sizeof text, "%" PRId64 " ms", duration_ms);
    } else if (duration_ms < 2 * MINUTE_MS) {
        snprintf(text, sizeof text, "%" PRId64 ".%" PRId64 " s", duration_ms / SECOND_MS,
                 duration_ms % SECOND_MS / 100);
    } else if (duration_ms < 2 * HOUR_MS) {
        snprintf(text, sizeof text, "%" PRId64 " min", duration_ms / MINUTE_MS);
    } else {
        snprintf(text, sizeof text, "%" PRId64 " h", duration_ms / HOUR_MS);
    }
    string_add(table, text);
}

static bool blanks_add(struct buffer *out, uint32_t count)
{
    bool added = true;
    while (added && count-- > 0) {
        added = buffer_add_char(out, ' ');
    }
    return added;
}

/* No blanks behind the last cell of a line. */
static bool cell_write(const struct table *table, uint32_t column, bool last, struct text cell, const uint32_t *widths,
                       struct buffer *out)
{
    uint32_t length = text_length(cell);
    uint32_t pad = widths[column] > length ? widths[column] - length : 0;
    bool right = table->columns[column].right;
    return blanks_add(out, column ? GAP : 0) && blanks_add(out, right ? pad : 0) && buffer_add_text(out, cell) &&
           blanks_add(out, right || last ? 0 : pad) && (!last || buffer_add_char(out, '\n'));
}

bool table_write(const struct table *table, struct buffer *out)
{
    uint32_t widths[TABLE_MAX_COLUMNS] = {0};
    uint32_t count = table->column_count;
    bool written = true;
    for (uint32_t i = 0; i < count; i++) {
        widths[i] = text_length(text_of(table->columns[i].title));
    }
    for (uint32_t i = 0; i < table->cell_count; i++) {
        uint32_t length = text_length(table->cells[i]);
        widths[i % count] = length > widths[i % count] ? length : widths[i % count];
    }
    for (uint32_t i = 0; written && i < count; i++) {
        written = cell_write(table, i, i + 1 == count, text_of(table->columns[i].title), widths, out);
    }
    for (uint32_t i = 0; written && i < table->cell_count; i++) {
        bool last = i % count + 1 == count || i + 1 == table->cell_count;
        written = cell_write(table, i % count, last, table->cells[i], widths, out);
    }
    return written;
}
