#include "mail-svc/slots.h"

uint32_t mail_slots_free(const struct mail_slot *slots, int count, int64_t now_ms)
{
    uint32_t free_count = 0;
    for (int i = 0; i < count; i++) {
        free_count += slots[i].until_ms <= now_ms;
    }
    return free_count;
}

static struct mail_slot *slot_of(struct mail_slot *slots, int count, struct text id)
{
    for (int i = 0; i < count; i++) {
        if (slots[i].until_ms > 0 && text_is(id, slots[i].id)) {
            return &slots[i];
        }
    }
    return NULL;
}

struct mail_slot *mail_slot_take(struct mail_slot *slots, int count, struct text id, int64_t now_ms, int64_t until_ms)
{
    struct mail_slot *slot = slot_of(slots, count, id); /* one whose end nobody told is its own again */
    for (int i = 0; i < count && !slot; i++) {
        slot = slots[i].until_ms <= now_ms ? &slots[i] : NULL;
    }
    if (!slot || slot->until_ms > now_ms || !text_to_string(id, slot->id, sizeof slot->id)) {
        return NULL;
    }
    slot->until_ms = until_ms;
    slot->begun = false;
    return slot;
}

void mail_slot_clear(struct mail_slot *slots, int count, struct text id)
{
    struct mail_slot *slot = slot_of(slots, count, id);
    if (slot) {
        slot->until_ms = 0;
    }
}
