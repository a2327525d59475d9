#include "lib/bus/key_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/base/buffer.h"
#include "lib/base/mem.h"

enum { PAIR_FILE_MAX_SIZE = 1024, OTHERS_READ = 0077, OTHERS_WRITE = 0022 };

static const char allowed_name[] = "allowed";
static const char allowed_head[] =
    "# Who may speak: NAME PUBLIC-KEY ROLE [services=...] [calls=...]; see zmart keys.\n";

static bool path_make(const char *folder, const char *name, const char *end, char out[PATH_MAX])
{
    int size = snprintf(out, PATH_MAX, "%s/%s%s", folder, name, end);
    return size > 0 && size < PATH_MAX;
}

static bool refuse(const char *path, const char *why, char *message, size_t message_size)
{
    snprintf(message, message_size, "%.300s %s", path, why);
    return false;
}

/* errno says why. */
static bool refuse_errno(const char *path, const char *what, char *message, size_t message_size)
{
    snprintf(message, message_size, "%.300s %s: %s", path, what, strerror(errno));
    return false;
}

/* ---- reading and writing ---- */

/* Who may do what others must not: the file has to be ours (or the system's) and closed to everybody else. */
static bool file_is_closed(int fd, mode_t others, const char *path, char *message, size_t message_size)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return refuse_errno(path, "cannot be looked at", message, message_size);
    }
    if ((status.st_uid != geteuid() && status.st_uid != 0) || (status.st_mode & others) != 0) {
        return refuse(path, others == OTHERS_READ ? "can be read by others: chmod 600, and make a new key if they have"
                                                  : "can be written by others: chmod go-w",
                      message, message_size);
    }
    return true;
}

static bool file_read(const char *path, mode_t others, struct buffer *out, char *message, size_t message_size)
{
    char part[4096];
    ssize_t size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return refuse_errno(path, "cannot be read", message, message_size);
    }
    bool good = file_is_closed(fd, others, path, message, message_size);
    while (good && (size = read(fd, part, sizeof part)) > 0) {
        good = buffer_add(out, part, (size_t)size) || refuse(path, "is too long", message, message_size);
    }
    explicit_bzero(part, sizeof part);
    close(fd);
    return good && (size == 0 || refuse_errno(path, "cannot be read", message, message_size));
}

static bool all_written(int fd, struct text text)
{
    uint32_t at = 0;
    while (at < text.size) {
        ssize_t size = write(fd, text.data + at, text.size - at);
        if (size <= 0) {
            return false;
        }
        at += (uint32_t)size;
    }
    return fsync(fd) == 0;
}

/* Whole or not at all: a new file takes the place of path. */
static bool file_write(const char *path, mode_t mode, struct text text, char *message, size_t message_size)
{
    char fresh[PATH_MAX];
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh) {
        return refuse(path, "is too long a path", message, message_size);
    }
    (void)unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return refuse_errno(fresh, "cannot be made", message, message_size);
    }
    bool written = fchmod(fd, mode) == 0 && all_written(fd, text);
    close(fd);
    if (!written || rename(fresh, path) != 0) {
        (void)unlink(fresh);
        return refuse_errno(path, "cannot be written", message, message_size);
    }
    return true;
}

/* ---- the folder ---- */

bool key_folder_make(const char *folder, char *message, size_t message_size)
{
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        return refuse_errno(folder, "cannot be made", message, message_size);
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return refuse_errno(folder, "cannot be opened", message, message_size);
    }
    bool good = file_is_closed(fd, OTHERS_WRITE, folder, message, message_size);
    close(fd);
    return good;
}

/* ---- pairs ---- */

bool key_pair_make(struct key_pair *out, char *message, size_t message_size)
{
    struct key_pair pair;
    if (!zmq_has("curve") || zmq_curve_keypair(pair.public_key, pair.secret_key) != 0) {
        snprintf(message, message_size, "this libzmq is built without CURVE (it needs libsodium)");
        return false;
    }
    *out = pair;
    key_pair_forget(&pair);
    return true;
}

void key_pair_forget(struct key_pair *pair)
{
    explicit_bzero(pair, sizeof *pair);
}

/* The value behind a word at the beginning of a line. */
static bool value_find(struct text text, const char *word, char out[KEY_TEXT_SIZE])
{
    struct text line, first;
    while (text_cut(&text, '\n', &line)) {
        if (text_cut(&line, ' ', &first) && text_is(first, word)) {
            return key_text_is_good(line) && text_to_string(line, out, KEY_TEXT_SIZE);
        }
    }
    return false;
}

bool key_pair_save(const char *folder, const char *name, const struct key_pair *pair, char *message,
                   size_t message_size)
{
    char path[PATH_MAX], text[PAIR_FILE_MAX_SIZE];
    if (!path_make(folder, name, ".secret", path)) {
        return refuse(folder, "is too long a path", message, message_size);
    }
    if (access(path, F_OK) == 0) {
        return refuse(path, "is there already", message, message_size);
    }
    int size = snprintf(text, sizeof text, "# The secret key of %.40s: it stays here.\npublic %s\nsecret %s\n", name,
                        pair->public_key, pair->secret_key);
    bool saved = file_write(path, 0600, (struct text){text, (uint32_t)size}, message, message_size);
    explicit_bzero(text, sizeof text);
    if (!saved || !path_make(folder, name, ".public", path)) {
        return false;
    }
    size = snprintf(text, sizeof text, "# The public key of %.40s.\npublic %s\n", name, pair->public_key);
    return file_write(path, 0644, (struct text){text, (uint32_t)size}, message, message_size);
}

static void buffer_forget(struct buffer *buffer)
{
    if (buffer->data) {
        explicit_bzero(buffer->data, buffer->capacity);
    }
    buffer_release(buffer);
}

bool key_pair_load(const char *folder, const char *name, struct key_pair *out, char *message, size_t message_size)
{
    char path[PATH_MAX], derived[KEY_TEXT_SIZE];
    AUTO(buffer_forget) struct buffer text;
    AUTO(key_pair_forget) struct key_pair pair;
    buffer_init(&text, PAIR_FILE_MAX_SIZE);
    if (!key_name_is_good(text_of(name)) || !path_make(folder, name, ".secret", path)) {
        return refuse(name, "is no name of a key", message, message_size);
    }
    if (!file_read(path, OTHERS_READ, &text, message, message_size)) {
        return false;
    }
    if (!value_find(buffer_text(&text), "public", pair.public_key) ||
        !value_find(buffer_text(&text), "secret", pair.secret_key) ||
        zmq_curve_public(derived, pair.secret_key) != 0 || strcmp(derived, pair.public_key) != 0) {
        return refuse(path, "is no pair of keys", message, message_size);
    }
    *out = pair;
    return true;
}

bool key_public_load(const char *path, char out[KEY_TEXT_SIZE], char *message, size_t message_size)
{
    AUTO(buffer_forget) struct buffer text;
    buffer_init(&text, PAIR_FILE_MAX_SIZE);
    if (!file_read(path, OTHERS_WRITE, &text, message, message_size)) {
        return false;
    }
    return value_find(buffer_text(&text), "public", out) ||
           refuse(path, "has no line \"public KEY\"", message, message_size);
}

bool key_public_of(const char *folder, const char *name, char out[KEY_TEXT_SIZE], char *message, size_t message_size)
{
    char path[PATH_MAX];
    if (!key_name_is_good(text_of(name)) || !path_make(folder, name, ".public", path)) {
        return refuse(name, "is no name of a key", message, message_size);
    }
    return key_public_load(path, out, message, message_size);
}

bool key_secret_exists(const char *folder, const char *name)
{
    char path[PATH_MAX];
    return path_make(folder, name, ".secret", path) && access(path, F_OK) == 0;
}

void key_files_remove(const char *folder, const char *name)
{
    static const char *const ends[] = {".secret", ".public"};
    char path[PATH_MAX];
    for (size_t i = 0; key_name_is_good(text_of(name)) && i < ARRAY_COUNT(ends); i++) {
        if (path_make(folder, name, ends[i], path)) {
            (void)unlink(path);
        }
    }
}

/* ---- the allowlist ---- */

bool key_allowed_stamp(const char *folder, struct key_stamp *out)
{
    char path[PATH_MAX];
    struct stat status;
    if (!path_make(folder, allowed_name, "", path) || stat(path, &status) != 0) {
        return false;
    }
    *out = (struct key_stamp){.changed_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec,
                              .size = status.st_size,
                              .inode = status.st_ino};
    return true;
}

bool key_stamp_equal(const struct key_stamp *a, const struct key_stamp *b)
{
    return a->changed_ns == b->changed_ns && a->size == b->size && a->inode == b->inode;
}

static bool allowed_read(const char *folder, struct buffer *out, char *message, size_t message_size)
{
    char path[PATH_MAX];
    return path_make(folder, allowed_name, "", path) && file_read(path, OTHERS_WRITE, out, message, message_size);
}

bool key_allowed_load(const char *folder, struct key_grants *out, char *message, size_t message_size)
{
    char why[256];
    AUTO(buffer_release) struct buffer text;
    buffer_init(&text, KEYS_FILE_MAX_SIZE);
    if (!allowed_read(folder, &text, message, message_size)) {
        return false;
    }
    if (!key_grants_parse(buffer_text(&text), out, why, sizeof why)) {
        snprintf(message, message_size, "%.300s/%s, %s", folder, allowed_name, why);
        return false;
    }
    return true;
}

static bool allowed_write(const char *folder, const struct buffer *text, char *message, size_t message_size)
{
    char path[PATH_MAX];
    struct key_grants grants;
    if (text->overflown || !key_grants_parse(buffer_text(text), &grants, message, message_size)) {
        return false;
    }
    key_grants_release(&grants);
    return path_make(folder, allowed_name, "", path) &&
           file_write(path, 0600, buffer_text(text), message, message_size);
}

/* Held while the allowlist is changed; -1 (and a message) if that cannot be. */
static int folder_lock(const char *folder, char *message, size_t message_size)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        refuse_errno(folder, "cannot be locked", message, message_size);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

bool key_allowed_make(const char *folder, char *message, size_t message_size)
{
    AUTO(buffer_release) struct buffer text;
    struct key_stamp stamp;
    buffer_init(&text, KEYS_FILE_MAX_SIZE);
    int lock = folder_lock(folder, message, message_size);
    if (lock < 0) {
        return false;
    }
    buffer_add_string(&text, allowed_head);
    bool made = key_allowed_stamp(folder, &stamp) || allowed_write(folder, &text, message, message_size);
    close(lock);
    return made;
}

bool key_allowed_add(const char *folder, const struct key_grant *grant, char *message, size_t message_size)
{
    AUTO(buffer_release) struct buffer text;
    buffer_init(&text, KEYS_FILE_MAX_SIZE);
    if (!key_grant_check(grant, message, message_size) || !key_allowed_make(folder, message, message_size)) {
        return false;
    }
    int lock = folder_lock(folder, message, message_size);
    bool added = lock >= 0 && allowed_read(folder, &text, message, message_size);
    if (added) {
        if (text.size > 0 && text.data[text.size - 1] != '\n') {
            buffer_add_char(&text, '\n');
        }
        buffer_printf(&text, "%s %s %s%s%s%s%s\n", grant->name, grant->key, key_role_name(grant->role),
                      grant->services[0] ? " services=" : "", grant->services, grant->calls[0] ? " calls=" : "",
                      grant->calls);
        added = allowed_write(folder, &text, message, message_size);
    }
    if (lock >= 0) {
        close(lock);
    }
    return added;
}

/* Everything but the lines of this name; false if there was none. */
static bool lines_without(struct text text, const char *name, struct buffer *out)
{
    struct text line;
    bool found = false;
    while (text_cut(&text, '\n', &line)) {
        struct text words = line, first = {0};
        while (text_cut(&words, ' ', &first) && first.size == 0) {
        }
        if (text_is(first, name)) {
            found = true;
        } else if (line.size > 0 || text.data) { /* nothing follows the last end of a line */
            buffer_add_text(out, line);
            buffer_add_char(out, '\n');
        }
    }
    return found;
}

bool key_allowed_remove(const char *folder, const char *name, char *message, size_t message_size)
{
    AUTO(buffer_release) struct buffer text;
    AUTO(buffer_release) struct buffer left;
    buffer_init(&text, KEYS_FILE_MAX_SIZE);
    buffer_init(&left, KEYS_FILE_MAX_SIZE);
    int lock = folder_lock(folder, message, message_size);
    bool removed = lock >= 0 && allowed_read(folder, &text, message, message_size);
    if (removed) {
        removed = lines_without(buffer_text(&text), name, &left)
                      ? allowed_write(folder, &left, message, message_size)
                      : refuse(name, "is the name of no key that is allowed", message, message_size);
    }
    if (lock >= 0) {
        close(lock);
    }
    return removed;
}
