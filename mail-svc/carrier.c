#include "mail-svc/carrier.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

/* ---- SMTP ---- */

enum carried carried_judge(int result, int status)
{
    if (result == CURLE_OK) {
        return CARRIED_GOOD;
    }
    if (result == CURLE_ABORTED_BY_CALLBACK) {
        return CARRIED_STOPPED;
    }
    /* a wrong password or a server without TLS are ours to put right, not the customer's loss */
    bool ours = result == CURLE_LOGIN_DENIED || result == CURLE_USE_SSL_FAILED;
    return status >= 500 && status <= 599 && !ours ? CARRIED_NEVER : CARRIED_AGAIN;
}

static size_t letter_give(char *data, size_t size, size_t count, void *user)
{
    struct carriage *carriage = user;
    size_t left = carriage->letter.size - carriage->sent_size;
    size_t given = size * count < left ? size * count : left;
    memcpy(data, carriage->letter.data + carriage->sent_size, given);
    carriage->sent_size += given;
    return given;
}

/* About once a second, while curl waits. Not 0 ends it. */
static int stop_look(void *user, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    const struct carriage *carriage = user;
    (void)down_all;
    (void)down;
    (void)up_all;
    (void)up;
    return env_stopping(carriage->env);
}

#define SET(option, value) ASSERT(curl_easy_setopt(easy, option, value) == CURLE_OK)

static void connection_set(CURL *easy, const struct mail_config *config)
{
    SET(CURLOPT_URL, config->url);
    SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    SET(CURLOPT_USE_SSL, (long)(config->plain ? CURLUSESSL_TRY : CURLUSESSL_ALL));
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)config->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)config->timeout_ms);
    if (config->ca[0]) {
        SET(CURLOPT_CAINFO, config->ca);
    }
}

static void error_set(struct carriage *carriage, const char *text)
{
    snprintf(carriage->error, sizeof carriage->error, "%.150s", text);
    for (char *at = carriage->error; *at; at++) { /* a server may say anything */
        *at = *at >= 0x20 && *at < 0x7f ? *at : '?';
    }
}

static void smtp_carry(struct carriage *carriage)
{
    char detail[CURL_ERROR_SIZE] = "";
    char to[LETTER_ADDRESS_MAX + 3];
    long status = 0;
    CURL *easy = curl_easy_init();
    ASSERT(easy != NULL);
    snprintf(to, sizeof to, "<%s>", carriage->to);
    struct curl_slist *recipients = curl_slist_append(NULL, to);
    ASSERT(recipients != NULL);
    connection_set(easy, carriage->config);
    SET(CURLOPT_MAIL_FROM, carriage->from);
    SET(CURLOPT_MAIL_RCPT, recipients);
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_READFUNCTION, letter_give);
    SET(CURLOPT_READDATA, carriage);
    SET(CURLOPT_XFERINFOFUNCTION, stop_look);
    SET(CURLOPT_XFERINFODATA, carriage);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_ERRORBUFFER, detail);
    CURLcode result = curl_easy_perform(easy);
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    carriage->status = status >= 100 && status <= 999 ? (int)status : 0;
    carriage->carried = carried_judge((int)result, carriage->status);
    if (result != CURLE_OK) {
        error_set(carriage, detail[0] ? detail : curl_easy_strerror(result));
    }
    curl_easy_cleanup(easy);
    curl_slist_free_all(recipients);
}

/* ---- files ---- */

static bool file_write(int fd, struct text text)
{
    while (text.size > 0) {
        ssize_t written = write(fd, text.data, text.size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        text = (struct text){text.data + written, text.size - (uint32_t)written};
    }
    return fsync(fd) == 0;
}

/* Whole or not at all, also after a power cut; again, it is the same file. */
static bool file_put(const char *folder, const char *id, struct text text)
{
    char hidden[PATH_MAX], path[PATH_MAX];
    bool named = snprintf(hidden, sizeof hidden, "%s/.%s.part", folder, id) < (int)sizeof hidden &&
                 snprintf(path, sizeof path, "%s/%s.eml", folder, id) < (int)sizeof path;
    int fd = named ? open(hidden, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd < 0) {
        return false;
    }
    bool written = file_write(fd, text);
    written = close(fd) == 0 && written && rename(hidden, path) == 0;
    int folder_fd = written ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder_fd < 0) {
        return false;
    }
    written = fsync(folder_fd) == 0;
    close(folder_fd);
    return written;
}

bool mail_folder_make(const struct mail_config *config, char *message, size_t message_size)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s/mail", config->data);
    if ((mkdir(config->data, 0700) == 0 || errno == EEXIST) && (mkdir(folder, 0700) == 0 || errno == EEXIST)) {
        return true;
    }
    snprintf(message, message_size, "the folder %.300s cannot be made: %s", folder, strerror(errno));
    return false;
}

static void file_carry(struct carriage *carriage)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s/mail", carriage->config->data);
    carriage->carried = file_put(folder, carriage->id, carriage->letter) ? CARRIED_GOOD : CARRIED_AGAIN;
    if (carriage->carried != CARRIED_GOOD) {
        error_set(carriage, strerror(errno));
    }
}

enum { MAIL_FILE_NAME_SIZE = 64 }; /* longer names are not ours */

struct mail_file {
    char name[MAIL_FILE_NAME_SIZE];
    struct timespec written;
};

static int older_first(const void *a, const void *b)
{
    const struct timespec *one = &((const struct mail_file *)a)->written,
                          *other = &((const struct mail_file *)b)->written;
    if (one->tv_sec != other->tv_sec) {
        return one->tv_sec < other->tv_sec ? -1 : 1;
    }
    return (one->tv_nsec > other->tv_nsec) - (one->tv_nsec < other->tv_nsec);
}

static bool is_mail(const struct dirent *entry)
{
    static const char ending[] = ".eml";
    size_t size = strlen(entry->d_name), end = sizeof ending - 1;
    return size > end && size < MAIL_FILE_NAME_SIZE && strcmp(entry->d_name + size - end, ending) == 0;
}

/* The files with their times; the folder may have got others since they were counted. */
static size_t files_read(DIR *folder, struct mail_file *files, size_t room)
{
    size_t count = 0;
    const struct dirent *entry;
    struct stat info;
    rewinddir(folder);
    while (count < room && (entry = readdir(folder)) != NULL) {
        if (is_mail(entry) && fstatat(dirfd(folder), entry->d_name, &info, 0) == 0) {
            memcpy(files[count].name, entry->d_name, strlen(entry->d_name) + 1);
            files[count++].written = info.st_mtim;
        }
    }
    return count;
}

int64_t mail_files_trim(const struct mail_config *config)
{
    char path[PATH_MAX];
    size_t count = 0;
    int64_t deleted_count = 0;
    const struct dirent *entry;
    snprintf(path, sizeof path, "%s/mail", config->data);
    DIR *folder = opendir(path);
    if (!folder) {
        return 0;
    }
    while ((entry = readdir(folder)) != NULL) {
        count += is_mail(entry);
    }
    if (count > (size_t)config->files) {
        struct mail_file *files = mem_alloc(count * sizeof *files);
        count = files_read(folder, files, count);
        qsort(files, count, sizeof *files, older_first);
        for (size_t i = 0; i + (size_t)config->files < count; i++) {
            deleted_count += unlinkat(dirfd(folder), files[i].name, 0) == 0;
        }
        mem_free(files);
    }
    closedir(folder);
    return deleted_count;
}

void carriage_run(void *argument)
{
    struct carriage *carriage = argument;
    if (carriage->config->url[0]) {
        smtp_carry(carriage);
    } else {
        file_carry(carriage);
    }
}
