/* The shop in one process: each room's program on a thread, the bus within the process. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/shop.h"
#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/bus/address.h"
#include "lib/bus/main.h"

static const char bus_name[] = "inproc://zmart";

enum thread_state { THREAD_NONE, THREAD_STARTING, THREAD_READY, THREAD_ENDED };

struct threads;

struct room_thread {
    struct threads *all;
    enum room_id id;
    struct words argv;
    int stop_fd;
    pthread_t thread;
    enum thread_state state;       /* guarded by all->lock */
    int status;                    /* guarded by all->lock; of an ended one */
    char detail[SHOP_DETAIL_SIZE]; /* guarded by all->lock; what it said when it was ready */
};

struct threads {
    struct shop *shop;
    void *bus_context;
    char operators[BUS_ADDRESS_SIZE]; /* where the broker listens for them; "": nowhere */
    int signal_fd;
    int changed_fd; /* raised at every change of a state */
    bool stopping;  /* asked to by a signal */
    pthread_mutex_t lock;
    struct room_thread rooms[ROOM_COUNT];
};

static void fd_raise(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    ASSERT(written == (ssize_t)sizeof one || errno == EAGAIN);
}

/* ---- on the rooms' threads ---- */

static void state_set(struct room_thread *room, enum thread_state state, int status, const char *detail)
{
    pthread_mutex_lock(&room->all->lock);
    room->state = state;
    room->status = status;
    if (detail) {
        snprintf(room->detail, sizeof room->detail, "%s", detail);
    }
    pthread_mutex_unlock(&room->all->lock);
    fd_raise(room->all->changed_fd);
}

static void room_ready(struct env *env, const char *detail)
{
    state_set(env->owner, THREAD_READY, 0, detail ? detail : "");
}

static void *room_main(void *argument)
{
    struct room_thread *room = argument;
    struct program_host host = {.log = &room->all->shop->log,
                                .bus_context = room->all->bus_context,
                                .stop_fd = room->stop_fd,
                                .ready = room_ready,
                                .owner = room};
    (void)pthread_setname_np(pthread_self(), room_name(room->id));
    int status = program_run(rooms[room->id].program, room->argv.count, room->argv.items, &host);
    state_set(room, THREAD_ENDED, status, NULL);
    return NULL;
}

/* ---- on the main thread ---- */

static enum thread_state state_of(struct room_thread *room)
{
    pthread_mutex_lock(&room->all->lock);
    enum thread_state state = room->state;
    pthread_mutex_unlock(&room->all->lock);
    return state;
}

/* The first room that has ended, or NULL. */
static struct room_thread *ended_find(struct threads *all)
{
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        if (state_of(&all->rooms[id]) == THREAD_ENDED) {
            return &all->rooms[id];
        }
    }
    return NULL;
}

/* The first room of a stage that is not in the wanted state (a stopping one: ended), or NULL. */
static struct room_thread *stage_waits(struct threads *all, int stage, bool starting)
{
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        enum thread_state state = state_of(&all->rooms[id]);
        bool waits = starting ? rooms[id].start_stage == stage && state == THREAD_STARTING
                              : rooms[id].stop_stage == stage && state != THREAD_ENDED && state != THREAD_NONE;
        if (waits) {
            return &all->rooms[id];
        }
    }
    return NULL;
}

/* Waits for a change or a signal, at most until deadline (-1: for ever). False after the deadline. */
static bool change_wait(struct threads *all, int64_t deadline_ms)
{
    struct pollfd fds[] = {{.fd = all->changed_fd, .events = POLLIN}, {.fd = all->signal_fd, .events = POLLIN}};
    int64_t left_ms = deadline_ms < 0 ? -1 : deadline_ms - clock_now_ms();
    uint64_t count;
    if (deadline_ms >= 0 && left_ms <= 0) {
        return false;
    }
    (void)poll(fds, ARRAY_COUNT(fds), (int)left_ms);
    ssize_t size = read(all->changed_fd, &count, sizeof count);
    (void)size;
    int number;
    while ((number = signals_read(all->signal_fd)) != 0) {
        if (number != SIGCHLD && !all->stopping) {
            all->stopping = true;
            signals_release_interrupt();
        }
    }
    return true;
}

static void room_start(struct threads *all, enum room_id id)
{
    struct room_thread *room = &all->rooms[id];
    *room = (struct room_thread){.all = all, .id = id, .state = THREAD_STARTING};
    shop_room_argv(all->shop, id, bus_name, all->shop->settings.up.port, &room->argv);
    if (id == ROOM_BROKER && all->operators[0]) {
        words_add_flag(&room->argv, "operators", all->operators);
    }
    room->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(room->stop_fd >= 0);
    ASSERT(pthread_create(&room->thread, NULL, room_main, room) == 0);
}

/* False when a room has ended, or was too slow; both were told. A signal ends the start too, but is no failure. */
static bool stage_start(struct threads *all, int stage, int64_t deadline_ms)
{
    struct room_thread *room;
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        if (rooms[id].start_stage == stage && settings_room_count(&all->shop->settings, id) > 0) {
            room_start(all, id);
        }
    }
    while (!all->stopping && stage_waits(all, stage, true) != NULL) {
        if ((room = ended_find(all)) != NULL) {
            break;
        }
        if (!change_wait(all, deadline_ms)) {
            room = stage_waits(all, stage, true);
            shop_refuse("%s did not get ready in time; see %s", room ? room_name(room->id) : "a room",
                        all->shop->log_path);
            return false;
        }
    }
    if ((room = ended_find(all)) != NULL) {
        shop_refuse("%s could not start (status %d); see %s", room_name(room->id), room->status, all->shop->log_path);
        return false;
    }
    return true;
}

/* Asks stage after stage to drain. A thread cannot be ended from outside: what hangs beyond the deadline ends with
 * the process. */
static void all_stop(struct threads *all)
{
    int64_t deadline_ms = clock_now_ms() + SHOP_STOP_MS;
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        struct room_thread *room;
        for (enum room_id id = 0; id < ROOM_COUNT; id++) {
            if (rooms[id].stop_stage == stage && state_of(&all->rooms[id]) != THREAD_NONE) {
                fd_raise(all->rooms[id].stop_fd);
            }
        }
        while ((room = stage_waits(all, stage, false)) != NULL) {
            if (!change_wait(all, deadline_ms)) {
                log_error(&all->shop->log, "shop.stop_late", KV("room", room_name(room->id)));
                _exit(PROCESS_FAILED);
            }
        }
    }
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        struct room_thread *room = &all->rooms[id];
        if (room->state != THREAD_NONE) {
            pthread_join(room->thread, NULL);
            close(room->stop_fd);
            words_release(&room->argv);
        }
    }
}

static int threads_serve(struct threads *all)
{
    char url[SHOP_URL_SIZE];
    struct room_thread *ended;
    int64_t deadline_ms = clock_now_ms() + SHOP_START_MS;
    for (int stage = 0; stage < STAGE_COUNT && !all->stopping; stage++) {
        if (!stage_start(all, stage, deadline_ms)) {
            return PROCESS_FAILED;
        }
    }
    if (all->stopping) {
        return PROCESS_OK;
    }
    shop_url(all->shop, all->rooms[ROOM_GATEWAY].detail, url);
    shop_announce(all->shop, url);
    while (!all->stopping) {
        (void)change_wait(all, -1);
        if (!all->stopping && (ended = ended_find(all)) != NULL) {
            return shop_refuse("%s has ended (status %d); see %s", room_name(ended->id), ended->status,
                               all->shop->log_path);
        }
    }
    return PROCESS_OK;
}

/* A folder in which `zmart bus` and `zmart ping` find the broker. The shop works without one. */
static void operators_admit(struct threads *all, char runtime[RUNTIME_PATH_SIZE])
{
    char message[SETTINGS_MESSAGE_SIZE];
    if (runtime_folder_make(all->shop->data_path, runtime, message, sizeof message)) {
        snprintf(all->operators, sizeof all->operators, "ipc://%s/0", runtime);
    } else {
        runtime[0] = '\0';
        log_warn(&all->shop->log, "shop.no_operators", KV("message", message));
    }
}

int threads_run(struct shop *shop)
{
    char runtime[RUNTIME_PATH_SIZE] = "";
    struct threads all = {.shop = shop, .signal_fd = signals_take()};
    pthread_mutex_init(&all.lock, NULL);
    all.changed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(all.changed_fd >= 0);
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        all.rooms[id].all = &all; /* rooms that never start are asked for their state too */
    }
    operators_admit(&all, runtime);
    all.bus_context = bus_context_new();
    int status = threads_serve(&all);
    log_info(&shop->log, "shop.stopping");
    all_stop(&all);
    bus_context_destroy(&all.bus_context);
    if (runtime[0]) {
        runtime_folder_remove(runtime);
    }
    log_info(&shop->log, "shop.stopped", KV_INT("status", status));
    close(all.changed_fd);
    close(all.signal_fd);
    pthread_mutex_destroy(&all.lock);
    return status;
}
