/* The mails that a loop has under way, each in a slot until it is cleared or its time is over: what became of it is
 * then nobody's business here, and it may begin anew. */
#ifndef ZMART_MAIL_SLOTS_H
#define ZMART_MAIL_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/text.h"

enum { MAIL_AT_ONCE_MAX = 16 };

struct mail_slot {
    char id[41];
    int64_t until_ms; /* free after that; 0: free */
    bool begun;
};

uint32_t mail_slots_free(const struct mail_slot *slots, int count, int64_t now_ms);
/* Takes one of count slots for a mail; NULL, and nothing happens, if it is under way or none is free. */
struct mail_slot *mail_slot_take(struct mail_slot *slots, int count, struct text id, int64_t now_ms, int64_t until_ms);
void mail_slot_clear(struct mail_slot *slots, int count, struct text id);

#endif
