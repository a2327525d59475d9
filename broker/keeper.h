/* From death to store: what is given up becomes a letter in memory, goes to the service that keeps letters as a request
 * of the broker's own, again and again until that confirms it, and only then leaves memory. */
#ifndef ZMART_BROKER_KEEPER_H
#define ZMART_BROKER_KEEPER_H

#include "broker/state.h"

/* Makes a letter of a request that is about to be given up. reason: a string that lives as long as the broker. */
void keeper_bury(struct broker *self, const struct request *request, const char *reason);
/* A request that was a letter has been answered: what says that it failed (5xx) buries it again, all else drops it. */
void keeper_settle(struct broker *self, const struct request *request, int status);
/* Hands over the next letter when it is time to. */
void keeper_step(struct broker *self);
/* Whether clients ask here for what only brokers may: letters have other people's requests in them. */
bool keeper_is_asked(struct text service, struct text operation);
/* A letter as it was kept; its parcel is new, its route borrows from the parcel. False if it has no body, or one that
 * no broker wrote. The caller drops out's parcel. */
MUST_USE bool keeper_letter_read(const struct dead_letter *kept, struct letter *out);

#endif
