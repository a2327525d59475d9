/* How many requests a client may send again: a share of those that it sends for the first time, and a few a second
 * whatever the traffic. So a fault can add a tenth to the load, and no more. Pure: time is passed in. */
#ifndef ZMART_BUS_RETRY_BUDGET_H
#define ZMART_BUS_RETRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"

enum { RETRY_SAVED_MAX = 1000, RETRY_FLOOR_SAVED_S = 10 };

struct retry_budget {
    int64_t percent;     /* of first requests; 0: no limit at all */
    int64_t floor;       /* retries a second that are always earned */
    int64_t thousandths; /* of retries that may be made now */
    int64_t earned_ms;   /* when the floor was last added */
};

/* Begins with RETRY_FLOOR_SAVED_S seconds of the floor; saves up RETRY_SAVED_MAX retries, or that much if it is more.
 */
void retry_budget_init(struct retry_budget *budget, int64_t percent, int64_t floor, int64_t now_ms);
/* A request was sent for the first time. */
void retry_budget_earn(struct retry_budget *budget);
/* True, and one less, when one may be sent again now. */
MUST_USE bool retry_budget_spend(struct retry_budget *budget, int64_t now_ms);

#endif
