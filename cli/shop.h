/* A shop that `zmart up` is about to run: settings, folders and log, and what each room is told. */
#ifndef ZMART_CLI_SHOP_H
#define ZMART_CLI_SHOP_H

#include "cli/folders.h"
#include "cli/settings.h"

enum { SHOP_URL_SIZE = 320, SHOP_DETAIL_SIZE = 320, SHOP_START_MS = 30 * 1000, SHOP_STOP_MS = 25 * 1000 };

struct shop {
    struct up_settings settings;
    struct arguments arguments; /* owned */
    char data_path[FOLDER_PATH_SIZE];
    char store[FOLDER_PATH_SIZE + 16]; /* the URL of a SQLite store; empty: ZMART_STORE names MongoDB */
    char log_path[FOLDER_PATH_SIZE + 16];
    int lock_fd;    /* of the data folder */
    struct log log; /* its fd is owned */
};

/* Loads, checks, takes the data folder and opens the log. False: *out_status is what the process is to end with (help
 * was printed, or an error was told in one line). */
MUST_USE bool shop_open(struct shop *shop, const struct words *argv, int *out_status);
void shop_close(struct shop *shop);

/* argv of one process or thread of a room. port is what the gateway is to listen on. */
void shop_room_argv(const struct shop *shop, enum room_id id, const char *bus, int64_t port, struct words *out);
/* The URL in what the gateway says when it is ready; else one made of the settings. */
void shop_url(const struct shop *shop, const char *detail, char out[SHOP_URL_SIZE]);
/* The port in a URL; 0 if it has none. */
int64_t url_port(const char *url);
/* The one line on stdout. */
void shop_announce(const struct shop *shop, const char *url);
/* One line on stderr: "zmart: ...". Returns PROCESS_FAILED. */
int shop_refuse(const char *format, ...) PRINTF_LIKE(1, 2);

/* Both run until SIGINT or SIGTERM and return the exit status. */
int threads_run(struct shop *shop);
int processes_run(struct shop *shop);

/* Blocks SIGINT, SIGTERM and SIGCHLD and gives a descriptor that tells them; SIGPIPE is ignored. */
int signals_take(void);
/* Reads one signal; 0 when none waits. */
int signals_read(int signal_fd);
/* From now on SIGINT does what it does by default: whoever presses Ctrl-C again means it. */
void signals_release_interrupt(void);

#endif
