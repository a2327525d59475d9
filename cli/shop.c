#include "cli/shop.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/keys.h"
#include "lib/base/invariant.h"
#include "lib/base/text.h"
#include "lib/bus/main.h"
#include "lib/store/sqlite.h"

enum { NUMBER_SIZE = 24 };

int shop_refuse(const char *format, ...)
{
    char line[SETTINGS_MESSAGE_SIZE + 64];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "zmart: %s\n", line);
    return PROCESS_FAILED;
}

/* ---- signals ---- */

int signals_take(void)
{
    sigset_t set;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    ASSERT(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    ASSERT(fd >= 0);
    return fd;
}

int signals_read(int signal_fd)
{
    struct signalfd_siginfo info;
    return read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void signals_release_interrupt(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- opening ---- */

/* Whether we could listen there. The room that does may still be late, and says so itself. */
static bool port_is_free(const char *host, int64_t port)
{
    char service[NUMBER_SIZE];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    bool taken = false;
    int on = 1;
    snprintf(service, sizeof service, "%" PRId64, port);
    if (getaddrinfo(host, service, &hints, &list) != 0) {
        return true; /* not ours to judge */
    }
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        taken = bind(fd, list->ai_addr, list->ai_addrlen) != 0 && errno == EADDRINUSE;
        close(fd);
    }
    freeaddrinfo(list);
    return !taken;
}

static bool ports_check(const struct up_settings *settings)
{
    const struct up_config *up = &settings->up;
    char host[256];
    int events_port;
    for (int64_t i = 0; up->port > 0 && i < up->gateway; i++) {
        if (!port_is_free(up->host, up->port + i)) {
            shop_refuse("port %" PRId64 " on %s is taken; choose another --port", up->port + i, up->host);
            return false;
        }
    }
    if (address_tcp(up->events, host, sizeof host, &events_port) && events_port > 0 &&
        !port_is_free(host, events_port)) {
        shop_refuse("port %d on %s is taken; choose another --events address", events_port, host);
        return false;
    }
    return true;
}

static bool log_open(struct shop *shop)
{
    const char *path = shop->settings.process.log_file;
    if (path[0]) {
        snprintf(shop->log_path, sizeof shop->log_path, "%.1000s", path);
    } else {
        snprintf(shop->log_path, sizeof shop->log_path, "%.1000s/zmart.log", shop->data_path);
    }
    shop->log = (struct log){.program = "zmart", .errors_fd = STDERR_FILENO};
    ASSERT(log_level_parse(text_of(shop->settings.process.log_level), &shop->log.level));
    shop->log.fd = open(shop->log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (shop->log.fd < 0) {
        shop_refuse("the log file %.300s cannot be opened: %s", shop->log_path, strerror(errno));
    }
    return shop->log.fd >= 0;
}

/* MongoDB's URL may hold a password, and arguments are for all to see: rooms find it in the environment. */
static void store_choose(struct shop *shop)
{
    const char *store = shop->settings.up.store;
    if (store_kind_of(store) == STORE_MONGO) {
        shop->store[0] = '\0';
        (void)setenv("ZMART_STORE", store, 1);
    } else if (store[0]) {
        snprintf(shop->store, sizeof shop->store, "%.1000s", store);
    } else {
        snprintf(shop->store, sizeof shop->store, "sqlite:%.1000s", shop->data_path);
    }
}

/* Told here in one line; each room would refuse it, too. */
static bool mark_check(const struct shop *shop)
{
    struct fault fault;
    fault_init(&fault, NULL);
    if (store_kind_of(shop->store) == STORE_SQLITE &&
        sqlite_mark_check(strchr(shop->store, ':') + 1, &fault) != ERR_NONE) {
        shop_refuse("%s", fault.detail);
        return false;
    }
    return true;
}

bool shop_open(struct shop *shop, const struct words *argv, int *out_status)
{
    char message[SETTINGS_MESSAGE_SIZE];
    *shop = (struct shop){.lock_fd = -1, .log = {.fd = -1}};
    /* up decides these for each room; what a shell has set for a single executable is not meant here */
    (void)unsetenv("ZMART_BUS");
    (void)unsetenv("ZMART_INSTANCE");
    (void)unsetenv("ZMART_KEY");
    (void)unsetenv("ZMART_READY_FD");
    /* MongoDB's driver keeps its counters under /dev/shm from a program's first moment: a child that is killed would
     * leave them there, and who gets its number later complains on stderr */
    (void)setenv("MONGOC_DISABLE_SHM", "1", 0);
    switch (settings_load(argv, &shop->arguments, &shop->settings, message)) {
    case CONFIG_OK: break;
    case CONFIG_HELP: settings_print_help(stdout); *out_status = PROCESS_OK; return false;
    case CONFIG_BAD: shop_refuse("%s", message); *out_status = PROCESS_BAD_CONFIG; return false;
    }
    *out_status = PROCESS_FAILED;
    if (!data_folder_take(shop->settings.up.data, shop->data_path, &shop->lock_fd, message, sizeof message)) {
        shop_refuse("%s", message);
        return false;
    }
    store_choose(shop);
    if (!mark_check(shop)) {
        return false;
    }
    const char *keys = shop->settings.up.keys;
    if (keys[0] && !keys_server_make(keys, message, sizeof message)) {
        shop_refuse("--keys: %s", message);
        return false;
    }
    if (keys[0]) {
        hangup_keep();
    }
    return ports_check(&shop->settings) && log_open(shop);
}

void shop_close(struct shop *shop)
{
    arguments_release(&shop->arguments);
    if (shop->log.fd >= 0) {
        close(shop->log.fd);
    }
    if (shop->lock_fd >= 0) {
        close(shop->lock_fd);
    }
}

/* ---- what rooms are told ---- */

/* What up has decided for all rooms: each gets what its table knows. */
static void flag_hand(enum room_id id, const char *flag, const char *value, struct words *out)
{
    if (config_find(rooms[id].program->config, flag)) {
        words_add_flag(out, flag, value);
    }
}

static void store_hand(const struct shop *shop, enum room_id id, struct words *out)
{
    char url[FOLDER_PATH_SIZE + 16];
    if (shop->store[0]) {
        flag_hand(id, "store", shop->store, out);
    } else if (!rooms[id].mongo) {
        snprintf(url, sizeof url, "sqlite:%.1000s", shop->data_path);
        flag_hand(id, "store", url, out);
    }
}

void shop_room_argv(const struct shop *shop, enum room_id id, const char *bus, int64_t port, struct words *out)
{
    const struct up_config *up = &shop->settings.up;
    char number[NUMBER_SIZE];
    words_add(out, room_name(id));
    words_add_all(out, &shop->arguments.rooms[id]);
    flag_hand(id, "bus", bus, out);
    flag_hand(id, "host", up->host, out);
    flag_hand(id, "data", shop->data_path, out);
    store_hand(shop, id, out);
    flag_hand(id, "events", up->events, out);
    if (up->keys && up->keys[0]) {
        flag_hand(id, "keys", up->keys, out);
    }
    flag_hand(id, "log-file", shop->log_path, out);
    flag_hand(id, "log-level", shop->settings.process.log_level, out);
    snprintf(number, sizeof number, "%" PRId64, port);
    flag_hand(id, "port", number, out);
    snprintf(number, sizeof number, "%" PRId64, up->loops);
    flag_hand(id, "j", number, out);
}

void shop_url(const struct shop *shop, const char *detail, char out[SHOP_URL_SIZE])
{
    const char *found = detail ? strstr(detail, "http://") : NULL;
    if (found) {
        snprintf(out, SHOP_URL_SIZE, "%.*s", (int)strcspn(found, " \t\r\n\""), found);
    } else {
        const struct up_config *up = &shop->settings.up;
        snprintf(out, SHOP_URL_SIZE, strchr(up->host, ':') ? "http://[%s]:%" PRId64 : "http://%s:%" PRId64, up->host,
                 up->port);
    }
}

int64_t url_port(const char *url)
{
    int64_t port = 0;
    const char *colon = strrchr(url, ':');
    struct text digits = {colon ? colon + 1 : url, colon ? (uint32_t)strspn(colon + 1, "0123456789") : 0};
    return text_to_int(digits, &port) && port <= 65535 ? port : 0;
}

void shop_announce(const struct shop *shop, const char *url)
{
    char line[SHOP_URL_SIZE * 2 + FOLDER_PATH_SIZE + 128];
    int size = snprintf(line, sizeof line, "zmart ready at %s  log %s  try curl %s/docs\n", url, shop->log_path, url);
    ASSERT(size > 0 && size < (int)sizeof line);
    log_info(&shop->log, "shop.ready", KV("url", url), KV("data", shop->data_path), KV("version", ZMART_VERSION));
    ssize_t written = write(STDOUT_FILENO, line, (size_t)size);
    (void)written; /* who does not listen is not told */
}
