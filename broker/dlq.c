#include "broker/dlq.h"

#include "broker/dispatch.h"
#include "broker/keeper.h"
#include "lib/base/invariant.h"
#include "proto/fault.h"
#include "proto/pack.h"

enum { DEFAULT_BUDGET_MS = 30 * 1000, ASK_MAX_MS = 2000, LEASE_ROOM_MS = 1000 };

/* Somebody whose question the keeper has to answer first. Counts as a request in flight meanwhile. */
struct asker {
    struct caller caller; /* client is NULL: it may leave */
    uint32_t epoch;       /* of its session */
    uint8_t client_size;
    uint8_t client[ROUTING_ID_MAX_SIZE];
    int64_t deadline_us;
    int64_t budget_ms; /* of what is requeued */
    uint8_t request_id[ID_SIZE];
};

/* ---- whoever waits ---- */

static struct asker *asker_new(struct broker *self, const struct caller *caller, int64_t deadline_us)
{
    struct asker *asker = mem_alloc(sizeof *asker);
    asker->caller = *caller;
    asker->caller.client = NULL;
    asker->epoch = caller->client->epoch;
    asker->client_size = caller->client->id_size;
    memcpy(asker->client, caller->client->id, caller->client->id_size);
    asker->deadline_us = deadline_us;
    self->counts.in_flight++;
    return asker;
}

/* Gives the caller back with its client; false if that has left: then it has been counted as abandoned. */
static bool asker_end(struct broker *self, struct asker *asker, struct caller *out)
{
    struct peer *client =
        peer_find(&self->peers, PLANE_CLIENTS, (struct text){(const char *)asker->client, asker->client_size});
    bool there = client && client->epoch == asker->epoch;
    *out = asker->caller;
    out->client = there ? client : NULL;
    mem_free(asker);
    self->counts.in_flight--;
    if (!there) {
        answer_nobody(self);
    }
    return there;
}

static void asker_refuse(struct broker *self, struct asker *asker, enum err code, const char *detail)
{
    struct caller caller;
    if (asker_end(self, asker, &caller)) {
        answer_problem(self, &caller, code, detail);
    }
}

/* A third of its time is left for the way back. */
static int64_t asker_budget_ms(const struct broker *self, const struct asker *asker)
{
    int64_t left_ms = (asker->deadline_us - self->now_us) * 2 / 3000;
    return left_ms < 1 ? 1 : left_ms < ASK_MAX_MS ? left_ms : ASK_MAX_MS;
}

static bool asker_ask(struct broker *self, struct asker *asker, enum op op, const void *in, errand_end *then)
{
    struct errand_task task = {.op = op,
                               .request_id = asker->caller.request_id,
                               .in = in,
                               .budget_ms = asker_budget_ms(self, asker),
                               .then = then,
                               .state = asker};
    return errand_start(self, &task);
}

/* ---- list ---- */

static struct mmi_dead_letter letter_show(const struct broker *self, const struct letter *letter, struct arena *arena)
{
    char *id = arena_alloc(arena, ID_HEX_SIZE);
    id_to_hex(letter->request_id, id);
    struct mmi_dead_letter shown = {.request_id = text_of(id),
                                    .route = text_of(letter->route),
                                    .attempts = letter->attempts,
                                    .age_ms = (self->now_us - letter->at_us) / 1000,
                                    .bytes = letter->parcel ? (int64_t)letter->parcel->size : 0,
                                    .secret = letter->parcel == NULL,
                                    .reason = text_of(letter->reason)};
    set_has(mmi_dead_letter, &shown, stored);
    set_has(mmi_dead_letter, &shown, reason);
    return shown;
}

/* Behind those in memory; what the keeper has but has not confirmed yet is shown once. */
static void stored_append(const struct broker *self, const struct mmi_dead_letters *stored,
                          struct mmi_dead_letters *out)
{
    uint8_t id[ID_SIZE];
    out->count += stored->count;
    for (uint32_t i = 0; i < stored->letters.count; i++) {
        bool both = id_from_hex(stored->letters.items[i].request_id, id) && letter_find(&self->letters, id);
        out->count -= both;
        if (!both && out->letters.count < MMI_MAX_LETTERS) {
            out->letters.items[out->letters.count++] = stored->letters.items[i];
        }
    }
}

/* stored NULL: the keeper does not answer. */
static void list_answer(struct broker *self, struct asker *asker, const struct mmi_dead_letters *stored)
{
    struct caller caller;
    struct arena arena = {0};
    const struct letters *letters = &self->letters;
    if (!asker_end(self, asker, &caller)) {
        return;
    }
    struct mmi_dead_letters out = {.count = letters->count};
    out.letters.items = arena_alloc(&arena, MMI_MAX_LETTERS * sizeof *out.letters.items);
    const struct letter *letter = letters->list ? letters->list->prev : NULL; /* the newest */
    while (letter && out.letters.count < MMI_MAX_LETTERS) {
        out.letters.items[out.letters.count++] = letter_show(self, letter, &arena);
        letter = letter == letters->list ? NULL : letter->prev;
    }
    if (stored) {
        stored_append(self, stored, &out);
    } else {
        out.partial = true;
        set_has(mmi_dead_letters, &out, partial);
    }
    answer_body(self, &caller, record_pack_in(&mmi_dead_letters_record, &out, &arena));
    arena_release(&arena);
}

static void list_come(struct broker *self, int status, struct text body, void *state)
{
    struct arena arena = {0};
    struct mmi_dead_letters stored;
    bool good = status == 200 && record_unpack(&mmi_dead_letters_record, body, &arena, NULL, &stored) == ERR_NONE;
    list_answer(self, state, good ? &stored : NULL);
    arena_release(&arena);
}

static void list_begin(struct broker *self, struct asker *asker)
{
    static const struct nothing nothing;
    if (!asker_ask(self, asker, OP_event_letter_list, &nothing, list_come)) {
        list_answer(self, asker, NULL);
    }
}

/* ---- what the keeper says no to ---- */

static void keeper_refuses(struct broker *self, struct asker *asker, int status)
{
    if (status == 404) {
        asker_refuse(self, asker, ERR_NOT_FOUND, "There is no dead letter with this request_id.");
    } else if (status == 409) {
        asker_refuse(self, asker, ERR_CONFLICT,
                     "It cannot be requeued: its body was not kept, or it is being sent again right now.");
    } else {
        asker_refuse(self, asker, ERR_SERVICE_UNAVAILABLE, "The service that keeps dead letters does not answer.");
    }
}

/* ---- drop ---- */

static void drop_done(struct broker *self, int status, struct text body, void *state)
{
    (void)body;
    if (status >= 200 && status <= 299) {
        list_begin(self, state);
    } else {
        keeper_refuses(self, state, status);
    }
}

/* One that was in memory too may be in the store all the same. */
static void drop_done_too(struct broker *self, int status, struct text body, void *state)
{
    (void)status;
    (void)body;
    list_begin(self, state);
}

static void drop_begin(struct broker *self, struct asker *asker, struct letter *letter)
{
    char hex[ID_HEX_SIZE];
    struct letter_drop in = {0};
    id_to_hex(asker->request_id, hex);
    in.request_id = text_of(hex);
    if (letter) {
        in.death = (int64_t)letter->death;
        set_has(letter_drop, &in, death);
        letter_remove(&self->letters, letter);
    }
    if (asker_ask(self, asker, OP_event_letter_drop, &in, letter ? drop_done_too : drop_done)) {
        return;
    }
    if (letter) {
        list_begin(self, asker);
    } else {
        keeper_refuses(self, asker, 0);
    }
}

/* ---- requeue ---- */

/* False (and the asker is answered) if it could not be sent again. */
static bool letter_send(struct broker *self, struct asker *asker, const struct letter *letter)
{
    struct nack why;
    if (!dispatch_letter(self, letter, asker->budget_ms, &why)) {
        asker_refuse(self, asker, ERR_SERVICE_UNAVAILABLE, why.detail);
        return false;
    }
    return true;
}

/* Nobody waits for this answer: if it is lost, the lease ends later. */
static void given_back(struct broker *self, int status, struct text body, void *state)
{
    (void)self;
    (void)status;
    (void)body;
    (void)state;
}

/* What could not be sent after all: its taker takes it once more, for no time worth speaking of. */
static void take_back(struct broker *self, const struct dead_letter *kept, const uint8_t taker_id[ID_SIZE])
{
    char taker[ID_HEX_SIZE];
    id_to_hex(taker_id, taker);
    struct letter_take in = {.request_id = kept->request_id, .taker = text_of(taker), .lease_ms = 1};
    struct errand_task task = {
        .op = OP_event_letter_take, .request_id = taker_id, .in = &in, .budget_ms = ASK_MAX_MS, .then = given_back};
    if (!errand_start(self, &task)) {
        given_back(self, 0, (struct text){0}, NULL);
    }
}

static void take_done(struct broker *self, int status, struct text body, void *state)
{
    struct arena arena = {0};
    struct dead_letter kept;
    struct letter letter;
    if (status != 200) {
        keeper_refuses(self, state, status);
        return;
    }
    if (record_unpack(&dead_letter_record, body, &arena, NULL, &kept) != ERR_NONE ||
        !keeper_letter_read(&kept, &letter)) {
        keeper_refuses(self, state, 409);
    } else {
        struct asker *asker = state;
        uint8_t taker_id[ID_SIZE];
        memcpy(taker_id, asker->caller.request_id, ID_SIZE);
        if (letter_send(self, asker, &letter)) {
            list_begin(self, asker);
        } else {
            take_back(self, &kept, taker_id);
        }
        parcel_drop(&letter.parcel);
    }
    arena_release(&arena);
}

static void take_begin(struct broker *self, struct asker *asker)
{
    char hex[ID_HEX_SIZE], taker[ID_HEX_SIZE];
    id_to_hex(asker->request_id, hex);
    id_to_hex(asker->caller.request_id, taker);
    struct letter_take in = {
        .request_id = text_of(hex), .taker = text_of(taker), .lease_ms = asker->budget_ms + LEASE_ROOM_MS};
    if (!asker_ask(self, asker, OP_event_letter_take, &in, take_done)) {
        keeper_refuses(self, asker, 0);
    }
}

static void requeue_begin(struct broker *self, struct asker *asker, struct letter *letter)
{
    if (!letter) {
        take_begin(self, asker);
    } else if (!letter->parcel) {
        keeper_refuses(self, asker, 409);
    } else if (letter_send(self, asker, letter)) {
        letter_remove(&self->letters, letter);
        list_begin(self, asker);
    }
}

void dlq_answer(struct broker *self, const struct caller *caller, const struct mmi_dlq *in, int64_t deadline_us)
{
    enum mmi_dlq_action action = has(mmi_dlq, in, action) ? in->action : MMI_DLQ_LIST;
    struct asker *asker = asker_new(self, caller, deadline_us);
    asker->budget_ms = has(mmi_dlq, in, budget_ms) ? in->budget_ms : DEFAULT_BUDGET_MS;
    if (action == MMI_DLQ_LIST) {
        list_begin(self, asker);
    } else if (!has(mmi_dlq, in, request_id) || !id_from_hex(in->request_id, asker->request_id)) {
        keeper_refuses(self, asker, 404);
    } else if (action == MMI_DLQ_DROP) {
        drop_begin(self, asker, letter_find(&self->letters, asker->request_id));
    } else {
        requeue_begin(self, asker, letter_find(&self->letters, asker->request_id));
    }
}
