/* One child of the supervisor: how it is executed, and the pipe on which it says that it is ready and then, time and
 * again, that it lives. */
#ifndef ZMART_CLI_CHILD_H
#define ZMART_CLI_CHILD_H

#include <sys/types.h>

#include "cli/shop.h"

struct child {
    enum room_id id;
    int index;             /* among those of its room */
    struct words argv;     /* owned */
    pid_t pid;             /* 0: not running */
    int ready_fd;          /* the pipe's end; -1: closed */
    bool ready;            /* this life has said so */
    int crash_count;       /* see backoff.h */
    int64_t started_ms;
    int64_t heard_ms;      /* when it last said anything */
    int64_t restart_at_ms; /* of one that is not running */
    char detail[SHOP_DETAIL_SIZE];
};

/* Where the executable of a room is: beside ours when installed, in its own folder in a build. False if in neither. */
MUST_USE bool child_executable(const char *name, char *out, size_t out_size);
/* Starts it in a process group of its own; it dies with us. False (told) if no process can be made. */
MUST_USE bool child_start(struct child *child, const char *executable, int64_t now_ms);
/* Takes what it wrote; true when it has become ready just now. */
bool child_listen(struct child *child, int64_t now_ms);
/* When a child that runs has been silent too long. */
int64_t child_overdue_ms(const struct child *child, int64_t silence_ms);
void child_ended(struct child *child, int64_t now_ms);
void child_release(struct child *child);

#endif
