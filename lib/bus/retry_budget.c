#include "lib/bus/retry_budget.h"

enum { RETRY = 1000 /* thousandths */, PER_PERCENT = RETRY / 100 };

static int64_t thousandths_most(const struct retry_budget *budget)
{
    int64_t floor_most = budget->floor * RETRY_FLOOR_SAVED_S;
    return (floor_most > RETRY_SAVED_MAX ? floor_most : RETRY_SAVED_MAX) * RETRY;
}

static void thousandths_add(struct retry_budget *budget, int64_t thousandths)
{
    int64_t most = thousandths_most(budget);
    int64_t left = most - budget->thousandths;
    budget->thousandths = thousandths < left ? budget->thousandths + thousandths : most;
}

void retry_budget_init(struct retry_budget *budget, int64_t percent, int64_t floor, int64_t now_ms)
{
    *budget = (struct retry_budget){.percent = percent, .floor = floor, .earned_ms = now_ms};
    budget->thousandths = floor * RETRY_FLOOR_SAVED_S * RETRY;
}

void retry_budget_earn(struct retry_budget *budget)
{
    thousandths_add(budget, budget->percent * PER_PERCENT);
}

bool retry_budget_spend(struct retry_budget *budget, int64_t now_ms)
{
    enum { LONG_MS = 60 * 1000 }; /* enough to fill it; keeps the product small */
    if (budget->percent == 0) {
        return true;
    }
    int64_t passed_ms = now_ms - budget->earned_ms;
    if (passed_ms > 0) {
        thousandths_add(budget, (passed_ms < LONG_MS ? passed_ms : LONG_MS) * budget->floor * RETRY / 1000);
        budget->earned_ms = now_ms;
    }
    if (budget->thousandths < RETRY) {
        return false;
    }
    budget->thousandths -= RETRY;
    return true;
}
