#include "gateway/ws_quota.h"

#include <pthread.h>

#include "gateway/ws_message.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { BUCKET_COUNT = 1024, RETRY_AFTER_S = 10 };

struct account {
    struct account *next;
    int64_t count; /* at least 1: an account without sockets is not kept */
    char user_id[WS_ID_SIZE];
};

struct ws_quota {
    int64_t total_max, user_max;
    pthread_mutex_t mutex; /* guards all below */
    int64_t total;
    struct account *buckets[BUCKET_COUNT];
};

struct ws_quota *ws_quota_new(int64_t total_max, int64_t user_max)
{
    struct ws_quota *self = mem_alloc(sizeof(*self));
    self->total_max = total_max;
    self->user_max = user_max;
    ASSERT(pthread_mutex_init(&self->mutex, NULL) == 0);
    return self;
}

void ws_quota_destroy(struct ws_quota **self_p)
{
    struct ws_quota *self = *self_p;
    if (!self) {
        return;
    }
    for (int i = 0; i < BUCKET_COUNT; i++) {
        for (struct account *at = self->buckets[i], *next; at; at = next) {
            next = at->next;
            mem_free(at);
        }
    }
    pthread_mutex_destroy(&self->mutex);
    mem_free(self);
    *self_p = NULL;
}

/* The place of the pointer to the account, or of the NULL behind the bucket's last. */
static struct account **account_place(struct ws_quota *self, struct text user_id)
{
    uint32_t hash = 2166136261U;
    for (uint32_t i = 0; i < user_id.size; i++) {
        hash = (hash ^ (uint8_t)user_id.data[i]) * 16777619U;
    }
    struct account **place = &self->buckets[(hash ^ hash >> 16) % BUCKET_COUNT];
    while (*place && !text_is(user_id, (*place)->user_id)) {
        place = &(*place)->next;
    }
    return place;
}

static enum err take_locked(struct ws_quota *self, struct text user_id, bool unbounded, struct fault *fault)
{
    if (self->total >= self->total_max) {
        enum err code = fault_set(fault, ERR_SERVICE_UNAVAILABLE, "all %lld WebSockets of this gateway are in use",
                                  (long long)self->total_max);
        fault->retry_after_s = RETRY_AFTER_S;
        return code;
    }
    struct account **place = account_place(self, user_id);
    if (!unbounded && (*place ? (*place)->count : 0) >= self->user_max) {
        enum err code = fault_set(fault, ERR_RATE_LIMITED, "an account has at most %lld WebSockets at a time",
                                  (long long)self->user_max);
        fault->retry_after_s = RETRY_AFTER_S;
        return code;
    }
    if (!*place) {
        struct account *account = mem_alloc(sizeof(*account));
        if (!text_to_string(user_id, account->user_id, sizeof(account->user_id))) {
            mem_free(account);
            return fault_set(fault, ERR_INTERNAL, NULL);
        }
        *place = account;
    }
    (*place)->count++;
    self->total++;
    return ERR_NONE;
}

enum err ws_quota_take(struct ws_quota *self, struct text user_id, bool unbounded, struct fault *fault)
{
    pthread_mutex_lock(&self->mutex);
    enum err code = take_locked(self, user_id, unbounded, fault);
    pthread_mutex_unlock(&self->mutex);
    return code;
}

void ws_quota_give(struct ws_quota *self, struct text user_id)
{
    pthread_mutex_lock(&self->mutex);
    struct account **place = account_place(self, user_id), *account = *place;
    ASSERT(account && self->total > 0);
    self->total--;
    if (--account->count == 0) {
        *place = account->next;
        mem_free(account);
    }
    pthread_mutex_unlock(&self->mutex);
}

int64_t ws_quota_total(struct ws_quota *self)
{
    pthread_mutex_lock(&self->mutex);
    int64_t total = self->total;
    pthread_mutex_unlock(&self->mutex);
    return total;
}
