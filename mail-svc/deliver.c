#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/base/invariant.h"
#include "mail-svc/carrier.h"
#include "mail-svc/desk.h"

enum {
    CONTACT_MS = 5000,      /* user-svc's time */
    CLAIM_MARGIN_MS = 5000, /* for the way through the loop, beyond both waits */
    KEEP_HOURS = 24,        /* ids of ended mails, beyond the time in which their events could be mailed */
    PURGE_MAX = 500
};

static int64_t budget_ms(const struct mail_desk *desk)
{
    return CONTACT_MS + desk->settings->mail.timeout_ms + CLAIM_MARGIN_MS;
}

/* ---- from the log ---- */

enum err mail_log_position(struct call *call, int64_t *out)
{
    struct mail_desk *desk = call_state(call);
    int64_t since_ms;
    return desk->store->ops->position(desk->store, call_fault(call), out, &since_ms);
}

static int64_t oldest_ms(const struct mail_desk *desk, int64_t now_ms)
{
    return now_ms - desk->settings->mail.give_up_hours * 3600 * 1000;
}

static enum err entry_take(struct call *call, const struct event_entry *entry, int64_t now_ms)
{
    struct mail_desk *desk = call_state(call);
    struct mail mail = {.id = entry->id,
                        .type = entry->type,
                        .user_id = entry->user_id,
                        .event_at = entry->time,
                        .next_at = now_ms,
                        .data = entry->private_data};
    set_has(mail, &mail, next_at);
    set_has(mail, &mail, data);
    return desk->store->ops->add(desk->store, &mail, call_fault(call));
}

enum err mail_log_take(struct call *call, const struct log_page *page)
{
    struct mail_desk *desk = call_state(call);
    int64_t now_ms = clock_wall_ms(), position, since_ms;
    enum err e = desk->store->ops->position(desk->store, call_fault(call), &position, &since_ms);
    for (uint32_t i = 0; e == ERR_NONE && i < page->count; i++) {
        if (entry_is_mailed(&page->entries[i], since_ms, oldest_ms(desk, now_ms))) {
            e = entry_take(call, &page->entries[i], now_ms);
        }
    }
    if (e == ERR_NONE) {
        e = desk->store->ops->position_set(desk->store, page->position, call_fault(call));
    }
    return e == ERR_NONE && page->count > 0 ? mails_claim(call, NULL) : e;
}

/* ---- under way ---- */

/* How many may begin now: as many as slots are free and the second allows. */
static uint32_t room_left(struct mail_desk *desk, int64_t now_ms)
{
    if (now_ms - desk->second_ms >= 1000) {
        desk->second_ms = now_ms;
        desk->second_count = 0;
    }
    int64_t allowed = desk->settings->mail.per_second - desk->second_count;
    uint32_t count = mail_slots_free(desk->slots, (int)desk->settings->mail.at_once, now_ms);
    return count < allowed ? count : (uint32_t)allowed;
}

enum err mails_claim(struct call *call, void *argument)
{
    struct mail_desk *desk = call_state(call);
    int64_t wall_ms = clock_wall_ms(), now_ms = clock_now_ms();
    struct mail_claim claim = {
        .now_ms = wall_ms, .until_ms = wall_ms + budget_ms(desk), .limit = room_left(desk, now_ms)};
    struct mail_rows rows;
    (void)argument;
    if (claim.limit == 0 || env_stopping(service_env(call_loop(call)))) {
        return ERR_NONE;
    }
    enum err e = desk->store->ops->claim(desk->store, &claim, call_arena(call), call_fault(call), &rows);
    desk->second_count += e == ERR_NONE ? rows.count : 0;
    for (uint32_t i = 0; e == ERR_NONE && i < rows.count; i++) {
        (void)mail_slot_take(desk->slots, (int)desk->settings->mail.at_once, rows.items[i].id, now_ms,
                             now_ms + budget_ms(desk));
    }
    return e;
}

/* ---- what came of it ---- */

static void slot_clear(struct mail_desk *desk, struct text id)
{
    mail_slot_clear(desk->slots, MAIL_AT_ONCE_MAX, id);
}

/* Its content goes, its id stays. */
static enum err mail_end(struct call *call, struct mail *mail)
{
    struct mail_desk *desk = call_state(call);
    mail->present &= ~(UINT64_C(1) << mail_at_next_at | UINT64_C(1) << mail_at_data);
    enum err e = desk->store->ops->put(desk->store, mail, call_fault(call));
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err mail_give_up(struct call *call, struct mail *mail, const char *why, int status)
{
    struct mail_desk *desk = call_state(call);
    metric_add(desk->given_up, 1);
    log_warn(service_env(call_loop(call))->log, "mail.given_up", KV_TEXT("event", mail->id),
             KV_TEXT("type", mail->type), KV_INT("tries", mail->tries), KV_INT("status", status), KV("why", why));
    return mail_end(call, mail);
}

static enum err mail_again(struct call *call, struct mail *mail, const char *why, int status)
{
    struct mail_desk *desk = call_state(call);
    int64_t now_ms = clock_wall_ms();
    uint32_t random;
    mail->tries++;
    if (mail->event_at < oldest_ms(desk, now_ms)) {
        return mail_give_up(call, mail, why, status);
    }
    metric_add(desk->again, 1);
    log_info(service_env(call_loop(call))->log, "mail.again", KV_TEXT("event", mail->id), KV_INT("tries", mail->tries),
             KV_INT("status", status), KV("why", why));
    id_random(&random, sizeof random);
    mail->next_at =
        now_ms + wait_spread_ms(mail_wait_ms(mail->tries, desk->settings->mail.retry_permille), random);
    enum err e = desk->store->ops->put(desk->store, mail, call_fault(call));
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* We were stopped, which says nothing of the mail: it is due at the next start. */
static enum err mail_put_back(struct call *call, struct mail *mail)
{
    struct mail_desk *desk = call_state(call);
    mail->next_at = clock_wall_ms();
    enum err e = desk->store->ops->put(desk->store, mail, call_fault(call));
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* What one mail needs while it is under way; in the call's arena. */
struct errand {
    struct mail mail;
    struct carriage carriage;
};

static enum err carried_note(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    struct errand *errand = state;
    struct mail_desk *desk = call_state(call);
    const struct carriage *carriage = &errand->carriage;
    (void)reply;
    (void)out;
    slot_clear(desk, errand->mail.id);
    enum err e = ERR_NONE;
    if (status != ERR_NONE) {
        return status;
    }
    switch (carriage->carried) {
    case CARRIED_GOOD:
        metric_add(desk->sent, 1);
        e = mail_end(call, &errand->mail);
        break;
    case CARRIED_NEVER: e = mail_give_up(call, &errand->mail, carriage->error, carriage->status); break;
    case CARRIED_AGAIN: e = mail_again(call, &errand->mail, carriage->error, carriage->status); break;
    case CARRIED_STOPPED: e = mail_put_back(call, &errand->mail); break;
    }
    return e == ERR_NONE ? mails_claim(call, NULL) : e;
}

/* ---- writing ---- */

static enum err letter_make(struct call *call, struct errand *errand, const struct user_contact *contact)
{
    struct mail_desk *desk = call_state(call);
    const struct mail_config *config = &desk->settings->mail;
    struct arena *arena = call_arena(call);
    struct order order;
    AUTO(buffer_release) struct buffer out;
    buffer_init(&out, LETTER_MAX_SIZE);
    if (record_unpack(&order_record, errand->mail.data, arena, NULL, &order) != ERR_NONE) {
        return ERR_INTERNAL;
    }
    struct letter letter = {.event_id = errand->mail.id,
                            .type = errand->mail.type,
                            .time_ms = errand->mail.event_at,
                            .from = text_of(config->from),
                            .to = contact->email,
                            .shop = text_of(config->shop),
                            .name = contact->name,
                            .order = &order};
    if (!letter_write(&letter, &out)) {
        return ERR_INTERNAL;
    }
    errand->carriage = (struct carriage){.config = config,
                                         .env = service_env(call_loop(call)),
                                         .id = arena_copy(arena, errand->mail.id.data, errand->mail.id.size),
                                         .from = config->from,
                                         .to = arena_copy(arena, contact->email.data, contact->email.size),
                                         .letter = {arena_copy(arena, out.data, out.size), (uint32_t)out.size}};
    return ERR_NONE;
}

static enum err contact_came(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    struct errand *errand = state;
    struct mail_desk *desk = call_state(call);
    const struct user_contact *contact = reply;
    enum err e;
    (void)out;
    if (status == ERR_NOT_FOUND) {
        e = mail_give_up(call, &errand->mail, "the account is gone", 0);
    } else if (status != ERR_NONE) {
        e = mail_again(call, &errand->mail, err_info(status)->slug, 0);
    } else if (!address_is_plain(contact->email)) {
        e = mail_give_up(call, &errand->mail, "the address cannot be written to", 0);
    } else if (letter_make(call, errand, contact) != ERR_NONE) {
        e = mail_give_up(call, &errand->mail, "the order cannot be read, or is too large for a mail", 0);
    } else {
        return call_offload(call, desk->pool, carriage_run, &errand->carriage, carried_note, errand);
    }
    slot_clear(desk, errand->mail.id);
    return e;
}

static enum err mail_begin(struct call *call, void *argument)
{
    const struct mail_slot *slot = argument;
    struct mail_desk *desk = call_state(call);
    struct errand *errand = arena_alloc(call_arena(call), sizeof *errand);
    struct text id = text_of(arena_copy(call_arena(call), slot->id, strlen(slot->id)));
    enum err e = desk->store->ops->get(desk->store, id, call_arena(call), call_fault(call), &errand->mail);
    if (e != ERR_NONE || !has(mail, &errand->mail, data)) {
        slot_clear(desk, id);
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    }
    struct user_ref ref = {.id = errand->mail.user_id};
    e = call_send(call, OP_user_contact, "contact", (struct text){0}, &ref, contact_came, errand);
    if (e == ERR_LATER) {
        call_wait_at_most(call, CONTACT_MS);
    }
    return e;
}

void mails_begin(struct service_loop *loop, struct mail_desk *desk)
{
    for (int i = 0; i < MAIL_AT_ONCE_MAX; i++) {
        struct mail_slot *slot = &desk->slots[i];
        if (slot->until_ms > 0 && !slot->begun && !env_stopping(service_env(loop))) {
            slot->begun = true;
            service_start(loop, "mail.send", (uint32_t)budget_ms(desk), mail_begin, slot);
        }
    }
}

enum err mails_purge(struct call *call, void *argument)
{
    struct mail_desk *desk = call_state(call);
    int64_t before_ms = oldest_ms(desk, clock_wall_ms()) - (int64_t)KEEP_HOURS * 3600 * 1000;
    uint32_t count = 0;
    (void)argument;
    if (!desk->settings->mail.url[0]) {
        mail_files_trim(&desk->settings->mail);
    }
    return desk->store->ops->purge(desk->store, before_ms, PURGE_MAX, call_fault(call), &count);
}
