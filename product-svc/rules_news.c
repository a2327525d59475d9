#include "product-svc/rules.h"

enum stock_news stock_news_of(int64_t before, int64_t after, int64_t low_level)
{
    if (before <= 0 && after > 0) {
        return STOCK_IS_BACK;
    }
    return low_level > 0 && before > low_level && after <= low_level ? STOCK_RUNS_LOW : STOCK_IS_NO_NEWS;
}
