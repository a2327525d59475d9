#include "cli/archive_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { MAGIC_SIZE = 8, HEAD_SIZE = 5, SUM_SIZE = 32, SUM_HEX_SIZE = 2 * SUM_SIZE + 1, BUFFER_SIZE = 256 * 1024 };
static const char magic[] = "ZMARTBAK";

struct sum {
    crypto_generichash_state state;
};

static void sum_start(struct sum *sum)
{
    ASSERT(sodium_init() >= 0);
    ASSERT(crypto_generichash_init(&sum->state, NULL, 0, SUM_SIZE) == 0);
}

static void sum_add(struct sum *sum, const void *data, size_t size)
{
    (void)crypto_generichash_update(&sum->state, data, size);
}

static void sum_hex(const struct sum *sum, char out[SUM_HEX_SIZE])
{
    struct sum copy = *sum;
    unsigned char hash[SUM_SIZE];
    (void)crypto_generichash_final(&copy.state, hash, sizeof hash);
    sodium_bin2hex(out, SUM_HEX_SIZE, hash, sizeof hash);
}

static void put_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (unsigned char)(value >> (24 - 8 * i));
    }
}

static uint32_t get_u32(const unsigned char *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* ---- writing ---- */

struct archive_writer {
    FILE *file;
    char path[ARCHIVE_PATH_SIZE];
    char part_path[ARCHIVE_PATH_SIZE + 8];
    struct sum whole, section;
    char section_name[ARCHIVE_NAME_SIZE];
    int64_t section_rows, rows;
    struct buffer packed;
};

static bool write_failed(struct archive_writer *self, char *message)
{
    snprintf(message, ARCHIVE_MESSAGE_SIZE, "cannot write %s: %s", self->path, strerror(errno));
    return false;
}

static bool bytes_write(struct archive_writer *self, const void *data, size_t size, char *message)
{
    sum_add(&self->whole, data, size);
    return fwrite(data, 1, size, self->file) == size || write_failed(self, message);
}

static bool frame_write(struct archive_writer *self, char kind, struct text payload, char *message)
{
    unsigned char head[HEAD_SIZE];
    put_u32(head, payload.size);
    head[4] = (unsigned char)kind;
    if (kind == 'r') {
        sum_add(&self->section, head, 4);
        sum_add(&self->section, payload.data, payload.size);
    }
    return bytes_write(self, head, sizeof head, message) && bytes_write(self, payload.data, payload.size, message);
}

static bool row_write(struct archive_writer *self, char kind, const struct archive_row *row, char *message)
{
    buffer_clear(&self->packed);
    if (!archive_pack(row, &self->packed)) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "a row of %s is larger than a backup can hold", self->section_name);
        return false;
    }
    return frame_write(self, kind, buffer_text(&self->packed), message);
}

/* What stands at the path may be replaced: nothing, or an older backup. */
static bool place_check(const char *path, char *message)
{
    char start[MAGIC_SIZE] = {0};
    struct stat status;
    if (stat(path, &status) != 0) {
        return true; /* opening the part tells what is wrong, if anything */
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE,
                 "%s is no file: a backup cannot be written there; name a file or a folder", path);
        return false;
    }
    FILE *file = fopen(path, "re");
    bool is_backup =
        file && fread(start, 1, sizeof start, file) == sizeof start && memcmp(start, magic, MAGIC_SIZE) == 0;
    if (file) {
        (void)fclose(file);
    }
    if (!is_backup) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE,
                 "%s is there and is no backup of zmart's: name another file, or move it away", path);
    }
    return is_backup;
}

/* The part, empty and locked, so that two backups never write one. */
static bool part_open(struct archive_writer *self, char *message)
{
    struct stat status;
    int fd = open(self->part_path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return write_failed(self, message);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &status) != 0 || status.st_nlink == 0) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "another backup is writing %s", self->path);
        close(fd);
        return false;
    }
    self->file = ftruncate(fd, 0) == 0 && fchmod(fd, 0600) == 0 ? fdopen(fd, "w") : NULL;
    if (!self->file) {
        (void)write_failed(self, message);
        close(fd);
    }
    return self->file != NULL;
}

struct archive_writer *archive_writer_new(const char *path, const char *store, int64_t now_ms, char *message)
{
    struct archive_writer *self = mem_alloc(sizeof *self);
    struct archive_row head = {0};
    unsigned char version[4];
    put_u32(version, ARCHIVE_FILE_VERSION);
    buffer_init(&self->packed, ARCHIVE_ROW_MAX_SIZE);
    sum_start(&self->whole);
    snprintf(self->path, sizeof self->path, "%s", path);
    snprintf(self->part_path, sizeof self->part_path, "%s.part", path);
    archive_put_int(&head, "created_at", now_ms);
    archive_put_text(&head, "program", ARCHIVE_TEXT, TEXT("zmart " ZMART_VERSION));
    archive_put_text(&head, "store", ARCHIVE_TEXT, text_of(store));
    if (!place_check(path, message) || !part_open(self, message)) {
        archive_writer_destroy(&self);
        return NULL;
    }
    (void)setvbuf(self->file, NULL, _IOFBF, BUFFER_SIZE);
    if (!bytes_write(self, magic, MAGIC_SIZE, message) || !bytes_write(self, version, sizeof version, message) ||
        !row_write(self, 'h', &head, message)) {
        archive_writer_destroy(&self);
    }
    return self;
}

bool archive_writer_section(struct archive_writer *self, const char *name, char *message)
{
    struct archive_row row = {0};
    snprintf(self->section_name, sizeof self->section_name, "%s", name);
    self->section_rows = 0;
    sum_start(&self->section);
    archive_put_text(&row, "name", ARCHIVE_TEXT, text_of(self->section_name));
    return row_write(self, 's', &row, message);
}

bool archive_writer_row(struct archive_writer *self, const struct archive_row *row, char *message)
{
    self->section_rows++;
    self->rows++;
    return row_write(self, 'r', row, message);
}

bool archive_writer_section_end(struct archive_writer *self, char *message)
{
    struct archive_row row = {0};
    char sum[SUM_HEX_SIZE];
    sum_hex(&self->section, sum);
    archive_put_text(&row, "name", ARCHIVE_TEXT, text_of(self->section_name));
    archive_put_int(&row, "rows", self->section_rows);
    archive_put_text(&row, "sum", ARCHIVE_TEXT, text_of(sum));
    return row_write(self, 'e', &row, message);
}

/* A rename is durable when its folder is. */
static bool folder_sync(const char *path)
{
    char copy[ARCHIVE_PATH_SIZE];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

bool archive_writer_end(struct archive_writer **self_at, char *message)
{
    struct archive_writer *self = *self_at;
    struct archive_row row = {0};
    char sum[SUM_HEX_SIZE];
    sum_hex(&self->whole, sum);
    archive_put_int(&row, "rows", self->rows);
    archive_put_text(&row, "sum", ARCHIVE_TEXT, text_of(sum));
    bool good = row_write(self, 'z', &row, message);
    if (good && (fflush(self->file) != 0 || fsync(fileno(self->file)) != 0 ||
                 rename(self->part_path, self->path) != 0 || !folder_sync(self->path))) {
        good = write_failed(self, message);
    }
    if (good) {
        self->part_path[0] = '\0';
    }
    archive_writer_destroy(self_at);
    return good;
}

void archive_writer_destroy(struct archive_writer **self)
{
    if (!*self) {
        return;
    }
    if ((*self)->file) {
        (void)fclose((*self)->file);
        if ((*self)->part_path[0]) {
            (void)unlink((*self)->part_path);
        }
    }
    buffer_release(&(*self)->packed);
    mem_free(*self);
    *self = NULL;
}

int64_t archive_writer_rows(const struct archive_writer *self)
{
    return self->rows;
}

/* ---- reading ---- */

struct archive_reader {
    FILE *file;
    char path[ARCHIVE_PATH_SIZE];
    struct sum whole, section;
    char section_name[ARCHIVE_NAME_SIZE];
    bool in_section;
    int64_t section_rows, rows, position, size, created_ms;
    char section_sum[SUM_HEX_SIZE];
    char *payload; /* owned, grows */
    size_t payload_room;
    struct archive_row row;
};

static enum archive_item bad(struct archive_reader *self, char *message, const char *what)
{
    snprintf(message, ARCHIVE_MESSAGE_SIZE, "%s is no whole backup: %s (at byte %" PRId64 "); take another copy of it",
             self->path, what, self->position);
    return ARCHIVE_BAD;
}

static bool bytes_read(struct archive_reader *self, void *to, size_t size)
{
    size_t got = fread(to, 1, size, self->file);
    self->position += (int64_t)got;
    return got == size;
}

/* The next frame: its kind, 0 if there is none that could be one. What it says is added to the sums, but for z. */
static int frame_read(struct archive_reader *self, struct text *out)
{
    unsigned char head[HEAD_SIZE];
    if (!bytes_read(self, head, sizeof head)) {
        return 0;
    }
    uint32_t size = get_u32(head);
    if (size > ARCHIVE_ROW_MAX_SIZE || (int64_t)size > self->size - self->position) {
        return 0;
    }
    if (size > self->payload_room) {
        self->payload = mem_grow(self->payload, size);
        self->payload_room = size;
    }
    if (!bytes_read(self, self->payload, size)) {
        return 0;
    }
    if (head[4] != 'z') {
        sum_add(&self->whole, head, sizeof head);
        sum_add(&self->whole, self->payload, size);
    }
    if (head[4] == 'r') {
        sum_add(&self->section, head, 4);
        sum_add(&self->section, self->payload, size);
    }
    *out = (struct text){self->payload, size};
    return head[4];
}

static bool sum_fits(const struct archive_row *row, const char *sum, int64_t rows)
{
    struct text told = {0};
    int64_t count = -1;
    return archive_get_text(row, "sum", &told) && text_is(told, sum) && archive_get_int(row, "rows", &count) &&
           count == rows;
}

bool archive_reader_rewind(struct archive_reader *self, char *message)
{
    unsigned char head[MAGIC_SIZE + 4];
    struct text payload;
    rewind(self->file);
    self->position = 0;
    self->rows = 0;
    self->in_section = false;
    sum_start(&self->whole);
    if (!bytes_read(self, head, sizeof head) || memcmp(head, magic, MAGIC_SIZE) != 0) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "%s is no backup of zmart's", self->path);
        return false;
    }
    if (get_u32(head + MAGIC_SIZE) != ARCHIVE_FILE_VERSION) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "%s has format %u, this program knows %d: a newer zmart has written it",
                 self->path, get_u32(head + MAGIC_SIZE), ARCHIVE_FILE_VERSION);
        return false;
    }
    sum_add(&self->whole, head, sizeof head);
    if (frame_read(self, &payload) != 'h' || !archive_unpack(payload, &self->row) ||
        !archive_get_int(&self->row, "created_at", &self->created_ms)) {
        (void)bad(self, message, "it has no head");
        return false;
    }
    return true;
}

struct archive_reader *archive_reader_new(const char *path, char *message)
{
    struct archive_reader *self = mem_alloc(sizeof *self);
    struct stat status;
    snprintf(self->path, sizeof self->path, "%s", path);
    bool is_file =
        stat(path, &status) != 0 || S_ISREG(status.st_mode); /* opening a pipe would wait for whoever writes */
    self->file = is_file ? fopen(path, "re") : NULL;
    if (!self->file || fstat(fileno(self->file), &status) != 0) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "cannot read %s: %s", path,
                 is_file ? strerror(errno) : "it is no file");
        archive_reader_destroy(&self);
        return NULL;
    }
    (void)setvbuf(self->file, NULL, _IOFBF, BUFFER_SIZE);
    self->size = status.st_size;
    if (!archive_reader_rewind(self, message)) {
        archive_reader_destroy(&self);
    }
    return self;
}

void archive_reader_destroy(struct archive_reader **self)
{
    if (*self) {
        if ((*self)->file) {
            (void)fclose((*self)->file);
        }
        mem_free((*self)->payload);
        mem_free(*self);
        *self = NULL;
    }
}

static enum archive_item section_start(struct archive_reader *self, char *message)
{
    struct text name = {0};
    if (self->in_section || !archive_get_text(&self->row, "name", &name) ||
        !text_to_string(name, self->section_name, sizeof self->section_name)) {
        return bad(self, message, "a section has no beginning");
    }
    self->in_section = true;
    self->section_rows = 0;
    sum_start(&self->section);
    return ARCHIVE_SECTION;
}

static enum archive_item section_end(struct archive_reader *self, char *message)
{
    sum_hex(&self->section, self->section_sum);
    if (!self->in_section || !sum_fits(&self->row, self->section_sum, self->section_rows)) {
        return bad(self, message, "the checksum of a section does not fit");
    }
    self->in_section = false;
    return ARCHIVE_SECTION_END;
}

enum archive_item archive_reader_next(struct archive_reader *self, char *message)
{
    struct text payload = {0};
    char sum[SUM_HEX_SIZE];
    int kind = frame_read(self, &payload);
    if (kind == 0) {
        return bad(self, message, "it ends early");
    }
    if (!archive_unpack(payload, &self->row)) {
        return bad(self, message, "it was altered");
    }
    switch (kind) {
    case 's': return section_start(self, message);
    case 'e': return section_end(self, message);
    case 'r':
        self->section_rows++;
        self->rows++;
        return self->in_section ? ARCHIVE_ROW : bad(self, message, "a row is in no section");
    case 'z':
        sum_hex(&self->whole, sum);
        if (self->in_section || !sum_fits(&self->row, sum, self->rows)) {
            return bad(self, message, "its checksum does not fit");
        }
        return self->position == self->size ? ARCHIVE_END : bad(self, message, "something follows its end");
    default: return bad(self, message, "it was altered");
    }
}

const char *archive_reader_section(const struct archive_reader *self)
{
    return self->section_name;
}

const struct archive_row *archive_reader_row(const struct archive_reader *self)
{
    return &self->row;
}

int64_t archive_reader_rows(const struct archive_reader *self)
{
    return self->section_rows;
}

const char *archive_reader_sum(const struct archive_reader *self)
{
    return self->section_sum;
}

int64_t archive_reader_position(const struct archive_reader *self)
{
    return self->position;
}

int64_t archive_reader_size(const struct archive_reader *self)
{
    return self->size;
}

int64_t archive_reader_created_ms(const struct archive_reader *self)
{
    return self->created_ms;
}
