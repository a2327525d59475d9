#include "broker/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

static const char zap_address[] = "inproc://zeromq.zap.01";

enum {
    ZAP_FRAMES = 7, /* of a question about CURVE */
    ZAP_SEQUENCE = 1,
    ZAP_DOMAIN = 2,
    ZAP_ADDRESS = 3,
    ZAP_MECHANISM = 5,
    ZAP_KEY = 6,
    ZAP_FRAME_SIZE = 256,
    ZAP_KEY_SIZE = 32,
    CONFIG_MESSAGE_SIZE = 512,
    DENIAL_LOG_EVERY_MS = 1000,
    RELOAD_EVERY_MS = 1000
};

struct guard_list {
    struct key_grants grants;
    int reference_count; /* guarded by the guard's lock */
};

struct guard {
    struct env *env;
    const char *folder;
    struct key_pair pair;
    void *zap; /* REP */
    int stop_fd, hangup_fd;
    pthread_t thread;
    pthread_mutex_t lock;
    struct guard_list *list;  /* guarded by lock */
    atomic_uint generation;   /* of the list */
    struct key_stamp stamp;   /* of the allowlist that was read last, well or not */
    int64_t read_ms, told_ms; /* when it was looked at; when a denial was logged */
    int64_t untold;           /* denials since */
    struct metric *denied_strangers, *denied_places, *denied_revoked, *keys, *failed;
};

/* ---- the list ---- */

static void list_drop(struct guard *self, struct guard_list *list)
{
    pthread_mutex_lock(&self->lock);
    bool last = list && --list->reference_count == 0;
    pthread_mutex_unlock(&self->lock);
    if (last) {
        key_grants_release(&list->grants);
        mem_free(list);
    }
}

static struct guard_list *list_take(struct guard *self)
{
    pthread_mutex_lock(&self->lock);
    struct guard_list *list = self->list;
    list->reference_count++;
    pthread_mutex_unlock(&self->lock);
    return list;
}

static bool list_load(struct guard *self, char *message, size_t message_size)
{
    struct key_stamp none = {0};
    struct guard_list *list = mem_alloc(sizeof *list), *old;
    if (!key_allowed_stamp(self->folder, &self->stamp)) {
        self->stamp = none;
    }
    if (!key_allowed_load(self->folder, &list->grants, message, message_size)) {
        mem_free(list);
        return false;
    }
    list->reference_count = 1;
    metric_set(self->keys, list->grants.count);
    pthread_mutex_lock(&self->lock);
    old = self->list;
    self->list = list;
    pthread_mutex_unlock(&self->lock);
    atomic_fetch_add(&self->generation, 1);
    if (old) {
        list_drop(self, old);
    }
    return true;
}

static void list_look(struct guard *self, bool asked)
{
    struct key_stamp stamp = {0};
    char message[CONFIG_MESSAGE_SIZE];
    self->read_ms = clock_now_ms();
    bool there = key_allowed_stamp(self->folder, &stamp);
    if (!asked && key_stamp_equal(&stamp, &self->stamp)) {
        return;
    }
    if (list_load(self, message, sizeof message)) {
        log_info(self->env->log, "keys.loaded", KV_INT("count", metric_value(self->keys)));
    } else {
        metric_add(self->failed, 1);
        log_error(self->env->log, "keys.kept", KV("message", message), KV_BOOL("there", there));
    }
}

/* ---- ZAP ---- */

struct zap_question {
    struct text frames[ZAP_FRAMES];
    char bytes[ZAP_FRAMES][ZAP_FRAME_SIZE];
    bool good;
};

static bool question_receive(void *zap, struct zap_question *out)
{
    bool more = true;
    int count = 0;
    out->good = true;
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, zap, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return false;
        }
        size_t size = zmq_msg_size(&frame);
        more = zmq_msg_more(&frame);
        out->good = out->good && count < ZAP_FRAMES && size <= ZAP_FRAME_SIZE;
        if (out->good) {
            memcpy(out->bytes[count], zmq_msg_data(&frame), size);
            out->frames[count] = (struct text){out->bytes[count], (uint32_t)size};
        }
        count++;
        zmq_msg_close(&frame);
    }
    out->good = out->good && count == ZAP_FRAMES;
    return true;
}

static void denial_tell(struct guard *self, const struct zap_question *question, const char *name, const char *key)
{
    int64_t now_ms = clock_now_ms();
    self->untold++;
    if (now_ms - self->told_ms < DENIAL_LOG_EVERY_MS) {
        return;
    }
    log_warn(self->env->log, "key.denied", KV_TEXT("socket", question->frames[ZAP_DOMAIN]),
             KV_TEXT("address", question->frames[ZAP_ADDRESS]), KV("key", key), KV("name", name),
             KV_INT("count", self->untold));
    self->told_ms = now_ms;
    self->untold = 0;
}

/* Whether it may connect; key is its text. */
static bool question_judge(struct guard *self, const struct zap_question *question, char key[KEY_TEXT_SIZE])
{
    enum key_plane plane;
    key[0] = '\0';
    if (!question->good || !text_is(question->frames[ZAP_MECHANISM], "CURVE") ||
        question->frames[ZAP_KEY].size != ZAP_KEY_SIZE || !key_plane_parse(question->frames[ZAP_DOMAIN], &plane) ||
        !zmq_z85_encode(key, (const uint8_t *)question->frames[ZAP_KEY].data, ZAP_KEY_SIZE)) {
        metric_add(self->denied_strangers, 1);
        return false;
    }
    const struct key_grant *grant = key_grants_find(&self->list->grants, text_of(key));
    if (grant && key_may_connect(grant, plane)) {
        return true;
    }
    metric_add(grant ? self->denied_places : self->denied_strangers, 1);
    denial_tell(self, question, grant ? grant->name : "", key);
    return false;
}

/* 300 rather than 400: the other side tries again, and so is let in soon after its key is allowed. */
static void question_answer(struct guard *self, const struct zap_question *question)
{
    char key[KEY_TEXT_SIZE];
    bool good = question_judge(self, question, key);
    const struct text frames[] = {TEXT("1.0"),
                                  question->good ? question->frames[ZAP_SEQUENCE] : TEXT("1"),
                                  good ? TEXT("200") : TEXT("300"),
                                  good ? TEXT("OK") : TEXT("this key may not connect here"),
                                  text_of(good ? key : ""),
                                  TEXT("")};
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        int more = i + 1 < ARRAY_COUNT(frames) ? ZMQ_SNDMORE : 0;
        (void)zmq_send(self->zap, frames[i].data, frames[i].size, ZMQ_DONTWAIT | more);
    }
}

static bool hangup_take(const struct guard *self)
{
    struct signalfd_siginfo info;
    return read(self->hangup_fd, &info, sizeof info) == (ssize_t)sizeof info;
}

static void *guard_run(void *user)
{
    struct guard *self = user;
    struct zap_question question;
    zmq_pollitem_t items[] = {{.socket = self->zap, .events = ZMQ_POLLIN},
                              {.fd = self->stop_fd, .events = ZMQ_POLLIN},
                              {.fd = self->hangup_fd, .events = ZMQ_POLLIN}};
    while (zmq_poll(items, ARRAY_COUNT(items), RELOAD_EVERY_MS / 2) >= 0 || zmq_errno() == EINTR) {
        if (items[1].revents) {
            break;
        }
        bool asked = hangup_take(self);
        if (asked || clock_now_ms() - self->read_ms >= RELOAD_EVERY_MS) {
            list_look(self, asked);
        }
        while (question_receive(self->zap, &question)) {
            question_answer(self, &question);
        }
    }
    return NULL;
}

/* ---- making and ending ---- */

static void meters_make(struct guard *self)
{
    static const char name[] = "zmart_broker_denied_total";
    static const char help[] = "What keys were refused, by where.";
    struct metrics *metrics = self->env->metrics;
    self->denied_strangers = metrics_get(metrics, METRIC_COUNTER, name, "at=\"stranger\"", help);
    self->denied_places = metrics_get(metrics, METRIC_COUNTER, name, "at=\"handshake\"", help);
    self->denied_revoked = metrics_get(metrics, METRIC_COUNTER, name, "at=\"revoked\"", help);
    self->keys = metrics_get(metrics, METRIC_GAUGE, "zmart_broker_keys", "", "Keys that may speak.");
    self->failed = metrics_get(metrics, METRIC_COUNTER, "zmart_broker_keys_unreadable_total", "",
                               "Times that the allowlist could not be read and the old one was kept.");
}

static bool door_open(struct guard *self, const char *key_name, char *message, size_t message_size)
{
    char why[CONFIG_MESSAGE_SIZE / 2];
    const char *name = key_name && key_name[0] ? key_name : KEY_BROKER_NAME;
    int linger = 0;
    if (!key_pair_load(self->folder, name, &self->pair, why, sizeof why) ||
        !list_load(self, why, sizeof why)) {
        snprintf(message, message_size, "--keys %.200s: %s (zmart keys new broker --keys DIR makes what is missing)",
                 self->folder, why);
        return false;
    }
    self->zap = zmq_socket(self->env->bus_context, ZMQ_REP);
    if (!self->zap || zmq_setsockopt(self->zap, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_bind(self->zap, zap_address) != 0) {
        snprintf(message, message_size, "--keys %.200s: cannot bind %s: %s", self->folder, zap_address,
                 zmq_strerror(zmq_errno()));
        return false;
    }
    return true;
}

struct guard *guard_new(struct env *env, const char *folder, const char *key_name, char *message, size_t message_size)
{
    struct guard *self = mem_alloc(sizeof *self);
    sigset_t hangup;
    *self = (struct guard){.env = env, .folder = folder, .stop_fd = -1, .hangup_fd = -1, .told_ms = INT64_MIN / 2};
    ASSERT(pthread_mutex_init(&self->lock, NULL) == 0);
    meters_make(self);
    if (!door_open(self, key_name, message, message_size)) {
        guard_destroy(&self);
        return NULL;
    }
    self->read_ms = clock_now_ms();
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    self->hangup_fd = signalfd(-1, &hangup, SFD_CLOEXEC | SFD_NONBLOCK);
    self->stop_fd = eventfd(0, EFD_CLOEXEC);
    ASSERT(self->stop_fd >= 0 && self->hangup_fd >= 0);
    ASSERT(pthread_create(&self->thread, NULL, guard_run, self) == 0);
    log_info(env->log, "keys.loaded", KV_INT("count", metric_value(self->keys)));
    return self;
}

void guard_destroy(struct guard **self)
{
    struct guard *guard = *self;
    if (!guard) {
        return;
    }
    if (guard->stop_fd >= 0) {
        ASSERT(eventfd_write(guard->stop_fd, 1) == 0);
        ASSERT(pthread_join(guard->thread, NULL) == 0);
        close(guard->stop_fd);
        close(guard->hangup_fd);
    }
    if (guard->zap) {
        ASSERT(zmq_close(guard->zap) == 0);
    }
    list_drop(guard, guard->list);
    key_pair_forget(&guard->pair);
    pthread_mutex_destroy(&guard->lock);
    mem_free(guard);
    *self = NULL;
}

bool guard_set(const struct guard *self, void *socket, enum key_plane plane)
{
    int on = 1;
    const char *domain = key_plane_name(plane);
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &on, sizeof on) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, self->pair.secret_key, KEY_TEXT_SIZE) == 0 &&
           zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain)) == 0;
}

/* ---- of one thread ---- */

void guard_view_open(struct guard_view *self, struct guard *guard)
{
    *self = (struct guard_view){.guard = guard};
    if (guard) {
        self->denied = guard->denied_revoked;
        (void)guard_view_refresh(self);
    }
}

void guard_view_release(struct guard_view *self)
{
    struct guard_link *link, *next;
    HASH_ITER(hh, self->links, link, next)
    {
        HASH_DEL(self->links, link);
        mem_free(link);
    }
    if (self->guard && self->list) {
        list_drop(self->guard, self->list);
    }
    *self = (struct guard_view){0};
}

bool guard_view_refresh(struct guard_view *self)
{
    if (!self->guard || atomic_load(&self->guard->generation) == self->generation) {
        return false;
    }
    self->generation = atomic_load(&self->guard->generation);
    struct guard_list *old = self->list;
    self->list = list_take(self->guard);
    if (old) {
        list_drop(self->guard, old);
    }
    return true;
}

const struct key_grants *guard_view_grants(const struct guard_view *self)
{
    return &self->list->grants;
}

const struct key_grant *guard_view_grant(const struct guard_view *self, zmq_msg_t *frame, enum key_plane plane)
{
    const char *key = zmq_msg_gets(frame, "User-Id");
    const struct key_grant *grant = key ? key_grants_find(&self->list->grants, text_of(key)) : NULL;
    if (grant && key_may_connect(grant, plane)) {
        return grant;
    }
    metric_add(self->denied, 1);
    int fd = zmq_msg_get(frame, ZMQ_SRCFD);
    if (fd >= 0) {
        (void)shutdown(fd, SHUT_RDWR);
    }
    return NULL;
}

void guard_view_link(struct guard_view *self, zmq_msg_t *frame, const struct key_grant *grant, enum key_plane plane)
{
    struct guard_link *link;
    struct sockaddr_storage remote = {0};
    socklen_t size = sizeof remote;
    int fd = zmq_msg_get(frame, ZMQ_SRCFD);
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&remote, &size) != 0) {
        return; /* it has ended already */
    }
    HASH_FIND_INT(self->links, &fd, link);
    if (!link) {
        link = mem_alloc(sizeof *link);
        link->fd = fd;
        HASH_ADD_INT(self->links, fd, link);
    }
    link->plane = plane;
    link->remote = remote;
    memcpy(link->key, grant->key, sizeof link->key);
}

/* The descriptor may have become another connection's by now: only the one that was noted is shut down. */
static bool link_cut(const struct guard_link *link)
{
    struct sockaddr_storage remote = {0};
    socklen_t size = sizeof remote;
    return getpeername(link->fd, (struct sockaddr *)&remote, &size) == 0 &&
           memcmp(&remote, &link->remote, sizeof remote) == 0 && shutdown(link->fd, SHUT_RDWR) == 0;
}

int guard_view_cut(struct guard_view *self)
{
    struct guard_link *link, *next;
    int count = 0;
    HASH_ITER(hh, self->links, link, next)
    {
        const struct key_grant *grant = key_grants_find(&self->list->grants, text_of(link->key));
        if (!grant || !key_may_connect(grant, link->plane)) {
            count += link_cut(link);
            HASH_DEL(self->links, link);
            mem_free(link);
        }
    }
    return count;
}
