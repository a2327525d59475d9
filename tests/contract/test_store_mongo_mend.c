/* What is left when commands or their answers are lost or late: the contract of product stores, kept by MongoDB. */
#include "tests/contract/contract_product.h"

#include "tests/mongo/proxy.h"

static struct mongo_proxy *proxy;

static void proxy_open(const char *url, char out_url[512])
{
    proxy = mongo_proxy_start(url, out_url);
}

static enum spoil spoil_of(int how)
{
    static const enum spoil hows[] = {[CONTRACT_LOSE_COMMAND] = SPOIL_REQUEST,
                                      [CONTRACT_LOSE_ANSWER] = SPOIL_REPLY,
                                      [CONTRACT_KEEP_SILENT] = SPOIL_SILENCE,
                                      [CONTRACT_BE_LATE] = SPOIL_LATE};
    return hows[how];
}

static void proxy_spoil(int n, int how)
{
    mongo_proxy_spoil(proxy, n, spoil_of(how));
}

static int64_t answer_ms(int how)
{
    return spoil_answer_ms(spoil_of(how));
}

static bool proxy_spoilt(void)
{
    return mongo_proxy_spoilt(proxy);
}

static void proxy_settle(void)
{
    mongo_proxy_settle(proxy);
}

static void proxy_close(void)
{
    mongo_proxy_stop(&proxy);
}

int main(void)
{
    const struct contract_spoiler spoiler = {proxy_open,   proxy_spoil, proxy_spoilt,
                                             proxy_settle, proxy_close, answer_ms};
    return contract_product_spoilt(&product_mongo_place, &spoiler);
}
