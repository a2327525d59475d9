/* A backup as a file: a stream of rows in sections, checked as a whole and section by section.
 *
 *     "ZMARTBAK" version:u32 { size:u32 kind:u8 payload }...        numbers big-endian
 *     kinds  h {created_at, program, store}     first
 *            s {name}                           a section begins: "order.orders"
 *            r row                              (lib/store/archive.h)
 *            e {name, rows, sum}                it ends; sum: BLAKE2b of its rows with their sizes
 *            z {rows, sum}                      last; sum: BLAKE2b of everything before it
 *
 * Payloads are msgpack maps. A reader refuses another version, anything that does not fit the sums, and bytes behind z.
 * Memory: one row. The file holds password hashes and private keys: its mode is 0600. */
#ifndef ZMART_CLI_ARCHIVE_FILE_H
#define ZMART_CLI_ARCHIVE_FILE_H

#include "lib/store/archive.h"

enum { ARCHIVE_FILE_VERSION = 1, ARCHIVE_NAME_SIZE = 64, ARCHIVE_MESSAGE_SIZE = 1400, ARCHIVE_PATH_SIZE = 1024 };

/* ---- writing ---- */

struct archive_writer;

/* Writes PATH.part; archive_writer_end makes it PATH, in the place of an older backup. NULL: message says why; so it is
 * where PATH is something else than a backup, and while somebody else writes there. */
struct archive_writer *archive_writer_new(const char *path, const char *store, int64_t now_ms, char *message);
/* False: message says why; nothing more can be written. */
MUST_USE bool archive_writer_section(struct archive_writer *self, const char *name, char *message);
MUST_USE bool archive_writer_row(struct archive_writer *self, const struct archive_row *row, char *message);
MUST_USE bool archive_writer_section_end(struct archive_writer *self, char *message);
/* The file is whole, on the disk, and has its name. */
MUST_USE bool archive_writer_end(struct archive_writer **self, char *message);
/* Without archive_writer_end nothing is left of it. */
void archive_writer_destroy(struct archive_writer **self);
int64_t archive_writer_rows(const struct archive_writer *self);

/* ---- reading ---- */

struct archive_reader;

enum archive_item { ARCHIVE_SECTION, ARCHIVE_ROW, ARCHIVE_SECTION_END, ARCHIVE_END, ARCHIVE_BAD };

/* NULL: message says why. */
struct archive_reader *archive_reader_new(const char *path, char *message);
void archive_reader_destroy(struct archive_reader **self);
/* The next item; BAD: message says what is wrong with the file. END only if everything fits. */
enum archive_item archive_reader_next(struct archive_reader *self, char *message);
/* From the start again. */
MUST_USE bool archive_reader_rewind(struct archive_reader *self, char *message);
/* Of the section that we are in. */
const char *archive_reader_section(const struct archive_reader *self);
/* After ARCHIVE_ROW, good until the next item. */
const struct archive_row *archive_reader_row(const struct archive_reader *self);
/* After ARCHIVE_SECTION_END: its rows, and their sum in hex. */
int64_t archive_reader_rows(const struct archive_reader *self);
const char *archive_reader_sum(const struct archive_reader *self);
int64_t archive_reader_created_ms(const struct archive_reader *self); /* when the backup began */
int64_t archive_reader_position(const struct archive_reader *self); /* bytes read */
int64_t archive_reader_size(const struct archive_reader *self);     /* of the file */

#endif
