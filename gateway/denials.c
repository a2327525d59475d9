#include "gateway/denials.h"

#include <pthread.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { ID_SIZE_MAX = 41, SLOT_COUNT = 4096 };

struct denied {
    struct denied *next;  /* in its slot */
    char id[ID_SIZE_MAX]; /* of the session, or of the account */
    bool is_user;
    char except[ID_SIZE_MAX]; /* session that goes on; empty: none */
    int64_t before_ms;
    int64_t expires_ms;
};

struct denials {
    pthread_rwlock_t lock;
    struct denied *slots[SLOT_COUNT];
    uint32_t count;
    bool complete;
};

static uint32_t slot_of(struct text id)
{
    uint32_t hash = 2166136261u; /* FNV-1a: ids are made by us, nobody can choose them to collide */
    for (uint32_t i = 0; i < id.size; i++) {
        hash = (hash ^ (unsigned char)id.data[i]) * 16777619u;
    }
    return hash % SLOT_COUNT;
}

struct denials *denials_new(void)
{
    struct denials *self = mem_alloc(sizeof *self);
    ASSERT(pthread_rwlock_init(&self->lock, NULL) == 0);
    self->complete = true;
    return self;
}

void denials_destroy(struct denials **self)
{
    if (!*self) {
        return;
    }
    for (int i = 0; i < SLOT_COUNT; i++) {
        while ((*self)->slots[i]) {
            struct denied *next = (*self)->slots[i]->next;
            mem_free((*self)->slots[i]);
            (*self)->slots[i] = next;
        }
    }
    pthread_rwlock_destroy(&(*self)->lock);
    mem_free(*self);
    *self = NULL;
}

static void drop_expired(struct denials *self, int64_t wall_ms)
{
    for (int i = 0; i < SLOT_COUNT; i++) {
        for (struct denied **at = &self->slots[i]; *at;) {
            struct denied *denied = *at;
            if (denied->expires_ms < wall_ms) {
                *at = denied->next;
                mem_free(denied);
                self->count--;
            } else {
                at = &denied->next;
            }
        }
    }
}

static bool same(const struct denied *a, const struct denied *b)
{
    return a->is_user == b->is_user && strcmp(a->id, b->id) == 0 && strcmp(a->except, b->except) == 0 &&
           a->before_ms == b->before_ms;
}

/* made: all but its place in the set. */
static bool denied_add(struct denials *self, const struct denied *made, int64_t wall_ms)
{
    struct denied **slot = &self->slots[slot_of(text_of(made->id))];
    for (struct denied *old = *slot; old; old = old->next) {
        if (same(old, made)) {
            old->expires_ms = old->expires_ms > made->expires_ms ? old->expires_ms : made->expires_ms;
            return true;
        }
    }
    if (self->count == DENIALS_MAX) {
        drop_expired(self, wall_ms);
    }
    if (self->count == DENIALS_MAX) {
        self->complete = false;
        return false;
    }
    struct denied *denied = mem_alloc(sizeof *denied);
    *denied = *made;
    denied->next = *slot;
    *slot = denied;
    self->count++;
    return true;
}

/* A denial may name a session, an account, or both: either is enough to be refused. */
static bool add_locked(struct denials *self, const struct denial *denial, int64_t wall_ms)
{
    bool added = true;
    struct denied made = {.before_ms = denial->before, .expires_ms = denial->expires_at};
    if (made.expires_ms < wall_ms) {
        return true;
    }
    if (has(denial, denial, session_id)) {
        added = text_to_string(denial->session_id, made.id, sizeof made.id) && denied_add(self, &made, wall_ms);
    }
    if (has(denial, denial, user_id)) {
        made.is_user = true;
        added = (!has(denial, denial, except_session_id) ||
                 text_to_string(denial->except_session_id, made.except, sizeof made.except)) &&
                text_to_string(denial->user_id, made.id, sizeof made.id) && denied_add(self, &made, wall_ms) && added;
    }
    return added;
}

bool denials_add(struct denials *self, const struct denial *denial, int64_t wall_ms)
{
    ASSERT(pthread_rwlock_wrlock(&self->lock) == 0);
    bool added = add_locked(self, denial, wall_ms);
    ASSERT(pthread_rwlock_unlock(&self->lock) == 0);
    return added;
}

void denials_merge(struct denials *self, const struct denial_list *list, int64_t wall_ms)
{
    ASSERT(pthread_rwlock_wrlock(&self->lock) == 0);
    drop_expired(self, wall_ms);
    self->complete = list->denials.count < DENIAL_MAX;
    for (uint32_t i = 0; i < list->denials.count; i++) {
        (void)add_locked(self, &list->denials.items[i], wall_ms);
    }
    ASSERT(pthread_rwlock_unlock(&self->lock) == 0);
}

bool denials_complete(struct denials *self)
{
    ASSERT(pthread_rwlock_rdlock(&self->lock) == 0);
    bool complete = self->complete;
    ASSERT(pthread_rwlock_unlock(&self->lock) == 0);
    return complete;
}

static bool hit(struct denials *self, struct text id, bool is_user, struct text session_id, int64_t issued_at_ms)
{
    for (const struct denied *denied = self->slots[slot_of(id)]; denied; denied = denied->next) {
        if (denied->is_user != is_user || !text_is(id, denied->id)) {
            continue;
        }
        if (!is_user || (issued_at_ms <= denied->before_ms && !text_is(session_id, denied->except))) {
            return true;
        }
    }
    return false;
}

bool denials_hit(struct denials *self, struct text user_id, struct text session_id, int64_t issued_at_ms)
{
    ASSERT(pthread_rwlock_rdlock(&self->lock) == 0);
    bool found = self->count > 0 && (hit(self, session_id, false, session_id, issued_at_ms) ||
                                     hit(self, user_id, true, session_id, issued_at_ms));
    ASSERT(pthread_rwlock_unlock(&self->lock) == 0);
    return found;
}

uint32_t denials_count(struct denials *self)
{
    ASSERT(pthread_rwlock_rdlock(&self->lock) == 0);
    uint32_t count = self->count;
    ASSERT(pthread_rwlock_unlock(&self->lock) == 0);
    return count;
}
