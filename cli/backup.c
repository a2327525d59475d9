#include "cli/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/archive_parts.h"
#include "cli/shop.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"

enum { PROGRESS_ROWS = 2000, NAMES_MAX = 10000, NAME_SIZE = 64 };
static const char name_start[] = "zmart-", name_end[] = ".backup";

#define BACKUP_CONFIG(X)                                                                                              \
    X(STRING, every, "every", "", 0, 20, "goes on making one each 90s, 15m, 6h or 7d, into a folder; once if empty")   \
    X(NUMBER, keep, "keep", "0", 0, NAMES_MAX, "in a folder: the newest so many stay, older ones go; 0: all stay")
CONFIG_DECLARE(backup_config, BACKUP_CONFIG);
CONFIG_DEFINE(backup_config, BACKUP_CONFIG)

struct backup_settings {
    struct archive_store_config store;
    struct backup_config backup;
};

static const struct config_section sections[] = {
    {"Backup", &backup_config_rows, offsetof(struct backup_settings, backup)},
    {"Shop", &archive_store_config_rows, offsetof(struct backup_settings, store)}};
static const struct config_table table = {
    .program = "zmart backup",
    .summary = "writes everything that a shop keeps into one file, while the shop runs; zmart restore reads it",
    .usage = "FILE|FOLDER [flags]",
    .sections = sections,
    .section_count = ARRAY_COUNT(sections)};

/* ---- one backup ---- */

/* Where to, and what may end it early. */
struct target {
    const struct store_config *store;
    int stop_fd; /* signals */
    bool stopped;
};

struct copying {
    struct target *target;
    struct archive_writer *writer;
    char *message;
    const char *section;
    int64_t step, steps;
};

static enum err row_copy(void *user, const struct archive_row *row, struct fault *fault)
{
    struct copying *copying = user;
    if (signals_read(copying->target->stop_fd) != 0) {
        signals_release_interrupt();
        copying->target->stopped = true;
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "interrupted: no backup was written");
    }
    if (!archive_writer_row(copying->writer, row, copying->message)) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "%s", copying->message);
    }
    if (archive_writer_rows(copying->writer) % PROGRESS_ROWS == 0) {
        archive_progress(copying->section, archive_writer_rows(copying->writer), copying->step, copying->steps);
    }
    return ERR_NONE;
}

static bool kind_copy(struct archive *archive, const struct archive_part *part, const struct archive_kind *kind,
                      struct copying *copying)
{
    char section[ARCHIVE_NAME_SIZE];
    struct fault fault;
    fault_init(&fault, NULL);
    snprintf(section, sizeof section, "%s.%s", part->service, kind->name);
    copying->section = section;
    archive_progress(section, archive_writer_rows(copying->writer), copying->step++, copying->steps);
    if (!archive_writer_section(copying->writer, section, copying->message)) {
        return false;
    }
    if (archive_walk(archive, part, kind, row_copy, copying, &fault) != ERR_NONE) {
        snprintf(copying->message, ARCHIVE_MESSAGE_SIZE, "%s%s%s",
                 fault.detail[0] ? fault.detail : "the store cannot be read", fault.cause[0] ? ": " : "", fault.cause);
        return false;
    }
    return archive_writer_section_end(copying->writer, copying->message);
}

static bool all_copy(struct archive *archive, struct copying *copying)
{
    for (size_t i = 0; i < archive_part_count; i++) {
        copying->steps += (int64_t)archive_parts[i]->kind_count;
    }
    for (size_t i = 0; i < archive_part_count; i++) {
        for (size_t k = 0; k < archive_parts[i]->kind_count; k++) {
            if (!kind_copy(archive, archive_parts[i], &archive_parts[i]->kinds[k], copying)) {
                return false;
            }
        }
    }
    return true;
}

static bool file_write(struct target *target, const char *path, char *message, int64_t *out_rows)
{
    char shown[STORE_SHOWN_SIZE];
    struct fault fault;
    struct archive *archive = NULL;
    struct copying copying = {.target = target, .message = message};
    fault_init(&fault, NULL);
    if (archive_open(target->store, archive_parts, archive_part_count, false, &fault, &archive) != ERR_NONE) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "%s", fault.detail[0] ? fault.detail : fault.cause);
        return false;
    }
    store_url_show(target->store->store, shown);
    copying.writer = archive_writer_new(path, shown, clock_wall_ms(), message);
    bool good = copying.writer && all_copy(archive, &copying);
    *out_rows = good ? archive_writer_rows(copying.writer) : 0;
    good = good && archive_writer_end(&copying.writer, message);
    archive_writer_destroy(&copying.writer);
    archive_destroy(&archive);
    return good;
}

/* False: message is one line that says why; there is no file then. */
static bool backup_write(struct target *target, const char *path, char *message)
{
    struct stat status = {0};
    int64_t started_ms = clock_now_ms(), rows = 0;
    bool good = file_write(target, path, message, &rows);
    archive_progress_end();
    if (good && stat(path, &status) == 0) {
        printf("zmart: wrote %s: %" PRId64 " rows, %" PRId64 " bytes, %" PRId64 " ms\n", path, rows,
               (int64_t)status.st_size, clock_now_ms() - started_ms);
        (void)fflush(stdout);
    }
    return good;
}

/* ---- folders ---- */

static bool is_backup_name(const char *name)
{
    size_t size = strlen(name), start = sizeof name_start - 1, end = sizeof name_end - 1;
    return size == start + 16 + end && strncmp(name, name_start, start) == 0 &&
           strcmp(name + size - end, name_end) == 0;
}

/* What a backup into the folder that was killed has left; one that is being written is locked. */
static void part_remove(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        (void)unlink(path);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void parts_remove(const char *folder)
{
    static const char part_end[] = ".part";
    DIR *entries = opendir(folder);
    const struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        char name[NAME_SIZE], path[ARCHIVE_PATH_SIZE];
        size_t size = strlen(entry->d_name), end = sizeof part_end - 1;
        if (size > end && size < sizeof name && strcmp(entry->d_name + size - end, part_end) == 0) {
            snprintf(name, sizeof name, "%.*s", (int)(size - end), entry->d_name);
            snprintf(path, sizeof path, "%.900s/%.63s", folder, entry->d_name);
            if (is_backup_name(name)) {
                part_remove(path);
            }
        }
    }
    if (entries) {
        (void)closedir(entries);
    }
}

static int name_order(const void *a, const void *b)
{
    return strcmp(b, a); /* newest first */
}

int backup_prune(const char *folder, int64_t keep)
{
    char(*names)[NAME_SIZE] = mem_alloc_array(NAMES_MAX, NAME_SIZE);
    DIR *entries = opendir(folder);
    const struct dirent *entry;
    int64_t count = 0;
    int removed = 0;
    while (entries && count < NAMES_MAX && (entry = readdir(entries))) {
        if (is_backup_name(entry->d_name)) {
            snprintf(names[count++], NAME_SIZE, "%.63s", entry->d_name);
        }
    }
    if (entries) {
        (void)closedir(entries);
    }
    qsort(names, (size_t)count, NAME_SIZE, name_order);
    for (int64_t i = keep; keep > 0 && i < count; i++) {
        char path[ARCHIVE_PATH_SIZE];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        removed += unlink(path) == 0;
    }
    mem_free(names);
    return removed;
}

/* FOLDER/zmart-20260102T030405Z.backup */
static void path_in(const char *folder, char out[ARCHIVE_PATH_SIZE])
{
    char text[CLOCK_TEXT_SIZE];
    char compact[20];
    size_t size = 0;
    clock_format(clock_wall_ms(), text);
    for (size_t i = 0; text[i] && text[i] != '.' && size + 2 < sizeof compact; i++) {
        if (text[i] != '-' && text[i] != ':') {
            compact[size++] = text[i];
        }
    }
    compact[size++] = 'Z';
    compact[size] = '\0';
    snprintf(out, ARCHIVE_PATH_SIZE, "%.900s/%s%s%s", folder, name_start, compact, name_end);
}

static bool backup_into(struct target *target, const char *folder, int64_t keep, char *message)
{
    char path[ARCHIVE_PATH_SIZE];
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        snprintf(message, ARCHIVE_MESSAGE_SIZE, "cannot make the folder %s: %s", folder, strerror(errno));
        return false;
    }
    parts_remove(folder);
    path_in(folder, path);
    bool good = backup_write(target, path, message);
    if (good && keep > 0) {
        (void)backup_prune(folder, keep);
    }
    return good;
}

/* ---- schedule ---- */

bool backup_interval(const char *text, int64_t *out_ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60 * 1000}, {'h', 3600 * 1000}, {'d', 24 * 3600 * 1000}};
    struct text number = text_of(text);
    int64_t count;
    if (number.size < 2 || !text_to_int((struct text){text, number.size - 1}, &count) || count < 1 || count > 100000) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (units[i].unit == text[number.size - 1]) {
            *out_ms = count * units[i].ms;
            return true;
        }
    }
    return false;
}

/* Until a signal. A backup that fails is told, and tried again at the next time. */
static int backup_forever(struct target *target, const char *folder, int64_t every_ms, int64_t keep)
{
    char message[ARCHIVE_MESSAGE_SIZE];
    struct pollfd stop = {.fd = target->stop_fd, .events = POLLIN};
    int64_t next_ms = clock_now_ms();
    for (;;) {
        int64_t left_ms = next_ms - clock_now_ms();
        if (left_ms <= 0) {
            next_ms = clock_now_ms() + every_ms;
            if (!backup_into(target, folder, keep, message)) {
                shop_refuse("%s", message);
            }
            if (target->stopped) {
                return PROCESS_OK;
            }
            continue;
        }
        if (poll(&stop, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms) > 0 && signals_read(stop.fd) != 0) {
            return PROCESS_OK;
        }
    }
}

int backup_main(const struct words *argv)
{
    struct backup_settings settings;
    char message[ARCHIVE_MESSAGE_SIZE], url[ARCHIVE_PATH_SIZE];
    struct stat status;
    int rest = 0;
    int64_t every_ms = 0;
    switch (config_load(&table, argv->count, argv->items, &settings, &rest, message, sizeof message)) {
    case CONFIG_HELP: config_print_help(&table, stdout); return PROCESS_OK;
    case CONFIG_BAD: shop_refuse("%s", message); return PROCESS_BAD_CONFIG;
    case CONFIG_OK: break;
    }
    if (rest != 1 || (settings.backup.every[0] && !backup_interval(settings.backup.every, &every_ms))) {
        shop_refuse(rest != 1 ? "backup takes one FILE or FOLDER, and flags" : "--every takes 90s, 15m, 6h or 7d");
        return PROCESS_BAD_CONFIG;
    }
    const char *path = argv->items[1];
    struct store_config store = archive_store_settings(&settings.store, url);
    struct target target = {.store = &store, .stop_fd = signals_take()};
    if (every_ms > 0) {
        return backup_forever(&target, path, every_ms, settings.backup.keep);
    }
    bool is_folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    bool good = is_folder || settings.backup.keep > 0 ? backup_into(&target, path, settings.backup.keep, message)
                                                      : backup_write(&target, path, message);
    return good ? PROCESS_OK : shop_refuse("%s", message);
}
