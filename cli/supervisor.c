/* The shop as processes: starts them in order, starts again what dies, stops them in order. One thread. */
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/child.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/address.h"
#include "lib/bus/main.h"

enum { LATE_MS = 1000 };

struct supervisor {
    struct shop *shop;
    int signal_fd;
    bool stopping; /* asked to by a signal */
    bool failed;   /* a child died before the shop was ready */
    char runtime[RUNTIME_PATH_SIZE];
    char brokers[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE]; /* each broker's own address */
    char bus[BUS_MAX_BROKERS * BUS_ADDRESS_SIZE];    /* all of them, for the others */
    char executables[ROOM_COUNT][PATH_MAX];
    struct child *children;
    int child_count;
    bool up; /* the ready line is out */
};

/* ---- preparing ---- */

static void child_plan(struct supervisor *self, struct child *child)
{
    const struct up_config *up = &self->shop->settings.up;
    int64_t port = up->port > 0 ? up->port + child->index : 0;
    words_release(&child->argv);
    if (child->id == ROOM_GATEWAY && child->detail[0]) { /* again where it was, also when it took a free port */
        char url[SHOP_URL_SIZE];
        shop_url(self->shop, child->detail, url);
        port = url_port(url) > 0 ? url_port(url) : port;
    }
    shop_room_argv(self->shop, child->id, child->id == ROOM_BROKER ? self->brokers[child->index] : self->bus, port,
                   &child->argv);
    if (child->id == ROOM_BROKER && child->index > 0) { /* subscribers outside have one address: the first one's */
        words_add_flag(&child->argv, "events", "");
    }
}

static bool brokers_plan(struct supervisor *self)
{
    int count = settings_room_count(&self->shop->settings, ROOM_BROKER);
    size_t used = 0;
    for (int i = 0; i < count && i < BUS_MAX_BROKERS; i++) {
        char folder[RUNTIME_PATH_SIZE + 16];
        snprintf(folder, sizeof folder, "%s/%d", self->runtime, i);
        if (mkdir(folder, 0700) != 0) {
            shop_refuse("the folder %s cannot be made", folder);
            return false;
        }
        snprintf(self->brokers[i], sizeof self->brokers[i], "ipc://%s", folder);
        used += (size_t)snprintf(self->bus + used, sizeof self->bus - used, "%s%s", i > 0 ? "," : "", self->brokers[i]);
    }
    return true;
}

static bool supervisor_plan(struct supervisor *self)
{
    char message[SETTINGS_MESSAGE_SIZE];
    int count = 0;
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        count += settings_room_count(&self->shop->settings, id);
        if (!child_executable(room_name(id), self->executables[id], sizeof self->executables[id])) {
            shop_refuse("the executable %s is not where zmart is; build or install all of them", room_name(id));
            return false;
        }
    }
    if (!runtime_folder_make(self->shop->data_path, self->runtime, message, sizeof message)) {
        shop_refuse("%s", message);
        return false;
    }
    runtime_folder_remove(self->runtime); /* sockets that a crash has left */
    if (!runtime_folder_make(self->shop->data_path, self->runtime, message, sizeof message) || !brokers_plan(self)) {
        return false;
    }
    self->children = mem_alloc_array((size_t)count, sizeof *self->children);
    for (enum room_id id = 0; id < ROOM_COUNT; id++) {
        for (int i = 0; i < settings_room_count(&self->shop->settings, id); i++) {
            self->children[self->child_count++] = (struct child){.id = id, .index = i, .ready_fd = -1};
        }
    }
    return true;
}

/* ---- what happens ---- */

static bool child_launch(struct supervisor *self, struct child *child)
{
    child_plan(self, child);
    if (!child_start(child, self->executables[child->id], clock_now_ms())) {
        return false;
    }
    log_info(&self->shop->log, "child.started", KV("name", room_name(child->id)), KV_INT("index", child->index),
             KV_INT("pid", child->pid));
    return true;
}

static void child_buried(struct supervisor *self, pid_t pid, int status)
{
    for (int i = 0; i < self->child_count; i++) {
        struct child *child = &self->children[i];
        if (child->pid != pid) {
            continue;
        }
        child_ended(child, clock_now_ms());
        if (!self->stopping && !self->failed) {
            log_warn(&self->shop->log, "child.died", KV("name", room_name(child->id)), KV_INT("pid", pid),
                     KV_INT("status", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
                     KV_INT("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
                     KV_INT("again_in_ms", child->restart_at_ms - clock_now_ms()));
        }
        if (!self->up && !self->stopping && !self->failed) {
            self->failed = true;
            shop_refuse("%s could not start (status %d); see %s", room_name(child->id),
                        WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), self->shop->log_path);
        }
        return;
    }
}

static void signals_handle(struct supervisor *self)
{
    int number;
    int status;
    pid_t pid;
    while ((number = signals_read(self->signal_fd)) != 0) {
        if (number != SIGCHLD && !self->stopping) {
            self->stopping = true;
            signals_release_interrupt();
        }
    }
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        child_buried(self, pid, status);
    }
}

/* Waits for a signal or a child's word, at most until deadline (-1: for ever). False after the deadline. */
static bool change_wait(struct supervisor *self, int64_t deadline_ms)
{
    AUTO(mem_release) struct pollfd *fds = mem_alloc_array((size_t)self->child_count + 1, sizeof *fds);
    int64_t left_ms = deadline_ms < 0 ? -1 : deadline_ms - clock_now_ms();
    if (deadline_ms >= 0 && left_ms <= 0) {
        return false;
    }
    fds[self->child_count] = (struct pollfd){.fd = self->signal_fd, .events = POLLIN};
    for (int i = 0; i < self->child_count; i++) {
        fds[i] = (struct pollfd){.fd = self->children[i].ready_fd, .events = POLLIN};
    }
    (void)poll(fds, (nfds_t)self->child_count + 1, (int)left_ms);
    for (int i = 0; i < self->child_count; i++) {
        if (fds[i].revents != 0 && child_listen(&self->children[i], clock_now_ms())) {
            log_info(&self->shop->log, "child.ready", KV("name", room_name(self->children[i].id)),
                     KV_INT("pid", self->children[i].pid));
        }
    }
    signals_handle(self);
    return true;
}

/* ---- starting ---- */

static struct child *unready_find(struct supervisor *self, int stage)
{
    for (int i = 0; i < self->child_count; i++) {
        if (rooms[self->children[i].id].start_stage == stage && !self->children[i].ready) {
            return &self->children[i];
        }
    }
    return NULL;
}

static bool stage_start(struct supervisor *self, int stage, int64_t deadline_ms)
{
    struct child *child;
    for (int i = 0; i < self->child_count; i++) {
        if (rooms[self->children[i].id].start_stage == stage && !child_launch(self, &self->children[i])) {
            return false;
        }
    }
    while (!self->stopping && !self->failed && (child = unready_find(self, stage)) != NULL) {
        if (!change_wait(self, deadline_ms)) {
            shop_refuse("%s did not get ready in time; see %s", room_name(child->id), self->shop->log_path);
            return false;
        }
    }
    return !self->failed;
}

/* ---- running ---- */

/* When a dead child is due, or a living one overdue. */
static int64_t child_due_ms(const struct supervisor *self, const struct child *child)
{
    return child->pid == 0 ? child->restart_at_ms : child_overdue_ms(child, self->shop->settings.up.silence_ms);
}

static int64_t next_due_ms(const struct supervisor *self)
{
    int64_t due_ms = INT64_MAX;
    for (int i = 0; i < self->child_count; i++) {
        int64_t child_ms = child_due_ms(self, &self->children[i]);
        due_ms = child_ms < due_ms ? child_ms : due_ms;
    }
    return due_ms;
}

/* Time in which we were stopped ourselves is nobody's silence: their beats are in the pipes, or they were stopped too.
 */
static void late_forgive(struct supervisor *self, int64_t late_ms)
{
    for (int i = 0; late_ms >= LATE_MS && i < self->child_count; i++) {
        struct child *child = &self->children[i];
        child->heard_ms += late_ms;
        child->started_ms += child->ready ? 0 : late_ms;
    }
}

/* SIGKILL also ends what is stopped; it is buried and started again like any that dies. */
static void silent_kill(struct supervisor *self)
{
    for (int i = 0; i < self->child_count; i++) {
        struct child *child = &self->children[i];
        if (child->pid > 0 && clock_now_ms() >= child_due_ms(self, child)) {
            log_error(&self->shop->log, "child.silent", KV("name", room_name(child->id)), KV_INT("pid", child->pid),
                      KV_INT("silent_ms", clock_now_ms() - child->heard_ms));
            child->heard_ms = clock_now_ms(); /* not again before it is buried */
            (void)kill(child->pid, SIGKILL);
        }
    }
}

static void dead_restart(struct supervisor *self)
{
    for (int i = 0; i < self->child_count; i++) {
        struct child *child = &self->children[i];
        if (child->pid == 0 && child->restart_at_ms <= clock_now_ms() && !child_launch(self, child)) {
            child_ended(child, clock_now_ms()); /* no process to be had now: as if it had died at once */
        }
    }
}

static int supervisor_serve(struct supervisor *self)
{
    char url[SHOP_URL_SIZE];
    int64_t deadline_ms = clock_now_ms() + SHOP_START_MS;
    for (int stage = 0; stage < STAGE_COUNT && !self->stopping; stage++) {
        if (!stage_start(self, stage, deadline_ms)) {
            return PROCESS_FAILED;
        }
    }
    if (self->stopping) {
        return PROCESS_OK;
    }
    for (int i = self->child_count - 1; i >= 0; i--) { /* the first gateway's, in the end */
        if (self->children[i].id == ROOM_GATEWAY) {
            shop_url(self->shop, self->children[i].detail, url);
        }
    }
    self->up = true;
    shop_announce(self->shop, url);
    while (!self->stopping) {
        int64_t due_ms = next_due_ms(self);
        (void)change_wait(self, due_ms);
        if (!self->stopping) {
            late_forgive(self, clock_now_ms() - due_ms);
            silent_kill(self);
            dead_restart(self);
        }
    }
    return PROCESS_OK;
}

/* ---- stopping ---- */

static bool stage_lives(const struct supervisor *self, int stage)
{
    for (int i = 0; i < self->child_count; i++) {
        if (self->children[i].pid > 0 && rooms[self->children[i].id].stop_stage == stage) {
            return true;
        }
    }
    return false;
}

static void stage_signal(const struct supervisor *self, int stage, int number)
{
    for (int i = 0; i < self->child_count; i++) {
        if (self->children[i].pid > 0 && rooms[self->children[i].id].stop_stage == stage) {
            (void)kill(self->children[i].pid, number);
        }
    }
}

/* Gateways drain first, the broker goes last; who is late is killed. Returns whether all went by themselves. */
static bool children_stop(struct supervisor *self)
{
    int64_t deadline_ms = clock_now_ms() + SHOP_STOP_MS;
    bool willing = true;
    self->stopping = true;
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        stage_signal(self, stage, SIGTERM);
        while (stage_lives(self, stage) && change_wait(self, deadline_ms)) {
        }
        if (stage_lives(self, stage)) {
            willing = false;
            log_error(&self->shop->log, "shop.stop_late", KV_INT("stage", stage));
            stage_signal(self, stage, SIGKILL);
            while (stage_lives(self, stage)) {
                (void)change_wait(self, -1);
            }
        }
    }
    return willing;
}

int processes_run(struct shop *shop)
{
    struct supervisor self = {.shop = shop};
    int status = PROCESS_FAILED;
    self.signal_fd = signals_take();
    if (supervisor_plan(&self)) {
        status = supervisor_serve(&self);
        log_info(&shop->log, "shop.stopping");
        status = children_stop(&self) ? status : PROCESS_FAILED;
        log_info(&shop->log, "shop.stopped", KV_INT("status", status));
    }
    for (int i = 0; i < self.child_count; i++) {
        child_release(&self.children[i]);
    }
    mem_free(self.children);
    if (self.runtime[0]) {
        runtime_folder_remove(self.runtime);
    }
    close(self.signal_fd);
    return status;
}
