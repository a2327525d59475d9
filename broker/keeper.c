#include "broker/keeper.h"

#include "lib/base/invariant.h"
#include "proto/pack.h"
#include "proto/wire.h"

enum {
    KEEP_BUDGET_MS = 2000,
    PAUSE_FIRST_US = 250 * 1000,
    PAUSE_MAX_US = 30 * 1000 * 1000,
    RECORD_ROOM_SIZE = 1024 /* what a letter needs besides its parcel */
};

/* Which letter is being handed over: it may leave memory meanwhile. */
struct handing {
    uint64_t death;
};

static uint64_t death_new(struct broker *self)
{
    return (uint64_t)(self->settings.first_epoch & INT32_MAX) << 32 | ++self->keeper.deaths;
}

void keeper_bury(struct broker *self, const struct request *request, const char *reason)
{
    uint32_t lost = letter_add(&self->letters, request, death_new(self), reason, self->now_us);
    metric_add(self->meters.letters_lost, lost);
}

/* ---- handing over ---- */

static void keeper_wait(struct keeper *keeper, int64_t now_us)
{
    int64_t pause_us = keeper->pause_us ? 2 * keeper->pause_us : PAUSE_FIRST_US;
    keeper->pause_us = pause_us < PAUSE_MAX_US ? pause_us : PAUSE_MAX_US;
    keeper->next_us = now_us + keeper->pause_us;
}

static struct letter *letter_of_death(const struct letters *letters, uint64_t death)
{
    struct letter *letter;
    DL_FOREACH(letters->list, letter)
    {
        if (letter->death == death) {
            return letter;
        }
    }
    return NULL;
}

/* What is not taken waits behind the others: one that the keeper dislikes must not hold them up. */
static void keeper_handed(struct broker *self, int status, struct text body, void *state)
{
    struct handing *handing = state;
    struct letter *letter = letter_of_death(&self->letters, handing->death);
    (void)body;
    self->keeper.busy = false;
    if (status >= 200 && status <= 299) {
        self->keeper.pause_us = 0;
        if (letter) {
            letter_remove(&self->letters, letter);
        }
        keeper_step(self);
    } else {
        keeper_wait(&self->keeper, self->now_us);
        if (letter) {
            letter_defer(&self->letters, letter);
        }
    }
    mem_free(handing);
}

static struct text bin_in(struct arena *arena, struct text bytes)
{
    AUTO(buffer_release) struct buffer buffer;
    buffer_init(&buffer, (size_t)bytes.size + 16);
    ASSERT(pack_bin(&buffer, bytes));
    return (struct text){arena_copy(arena, buffer.data, buffer.size), (uint32_t)buffer.size};
}

static void letter_write(const struct broker *self, const struct letter *letter, char hex[ID_HEX_SIZE],
                         struct arena *arena, struct dead_letter *out)
{
    const struct parcel *parcel = letter->parcel;
    id_to_hex(letter->request_id, hex);
    *out = (struct dead_letter){.request_id = text_of(hex),
                                .death = (int64_t)letter->death,
                                .route = text_of(letter->route),
                                .reason = text_of(letter->reason),
                                .attempts = letter->attempts,
                                .flags = letter->flags,
                                .priority = letter->priority,
                                .age_ms = (self->now_us - letter->at_us) / 1000};
    if (parcel && parcel->size <= FRAME_MAX_BODY - RECORD_ROOM_SIZE) {
        out->bytes = (int64_t)parcel->size;
        out->meta = bin_in(arena, parcel->parts[1]);
        out->body = bin_in(arena, parcel->parts[2]);
        set_has(dead_letter, out, meta);
        set_has(dead_letter, out, body);
    }
}

void keeper_step(struct broker *self)
{
    const struct letter *letter = self->letters.list;
    if (!letter || self->keeper.busy || self->now_us < self->keeper.next_us) {
        return;
    }
    char hex[ID_HEX_SIZE];
    struct arena arena = {0};
    struct dead_letter in;
    letter_write(self, letter, hex, &arena, &in);
    struct handing *handing = mem_alloc(sizeof *handing);
    handing->death = letter->death;
    struct errand_task task = {.op = OP_event_letter_add,
                               .request_id = letter->request_id,
                               .in = &in,
                               .budget_ms = KEEP_BUDGET_MS,
                               .then = keeper_handed,
                               .state = handing};
    self->keeper.busy = errand_start(self, &task);
    if (!self->keeper.busy) {
        mem_free(handing);
        keeper_wait(&self->keeper, self->now_us);
    }
    arena_release(&arena);
}

/* ---- after a requeue ---- */

/* Not heard: then its lease ends, and it is in the list once more. */
static void keeper_dropped(struct broker *self, int status, struct text body, void *state)
{
    (void)self;
    (void)status;
    (void)body;
    (void)state;
}

void keeper_settle(struct broker *self, const struct request *request, int status)
{
    if (status >= 500) {
        keeper_bury(self, request, "It was sent again, and failed.");
        return;
    }
    char hex[ID_HEX_SIZE];
    struct letter_drop in = {.death = (int64_t)request->death};
    id_to_hex(request->caller.request_id, hex);
    in.request_id = text_of(hex);
    set_has(letter_drop, &in, death);
    struct errand_task task = {.op = OP_event_letter_drop,
                               .request_id = request->caller.request_id,
                               .in = &in,
                               .budget_ms = KEEP_BUDGET_MS,
                               .then = keeper_dropped};
    if (!errand_start(self, &task)) {
        keeper_dropped(self, 0, (struct text){0}, NULL);
    }
}

/* ---- for others ---- */

bool keeper_is_asked(struct text service, struct text operation)
{
    return text_is(service, "event") && text_starts_with(operation, "letter_");
}

static bool bin_read(struct text value, struct text *out)
{
    struct wire wire = wire_of(value);
    return wire_read_bin(&wire, out) && wire_peek(&wire) == WIRE_END;
}

bool keeper_letter_read(const struct dead_letter *kept, struct letter *out)
{
    struct text service, operation, key;
    struct text parts[3] = {kept->route};
    *out = (struct letter){.death = (uint64_t)kept->death,
                           .flags = (uint8_t)kept->flags,
                           .priority = (uint8_t)kept->priority,
                           .attempts = (uint8_t)kept->attempts};
    if (!has(dead_letter, kept, meta) || !has(dead_letter, kept, body) || !bin_read(kept->meta, &parts[1]) ||
        !bin_read(kept->body, &parts[2]) || !id_from_hex(kept->request_id, out->request_id) ||
        !route_read(kept->route, &service, &operation, &key)) {
        return false;
    }
    out->parcel = parcel_of(parts, (int)ARRAY_COUNT(parts));
    return true;
}
