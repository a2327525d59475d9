/* What is left when commands or their answers are lost: the contract of product stores, kept by MongoDB. */
#include "tests/contract/contract_product.h"

#include "tests/mongo/proxy.h"

enum { ANSWER_MS = 5000, PAUSE_MS = 300 };

static struct mongo_proxy *proxy;

static void proxy_open(const char *url, char out_url[512])
{
    proxy = mongo_proxy_start(url, out_url);
}

static void proxy_spoil(int n, int how)
{
    mongo_proxy_spoil(proxy, n, how == CONTRACT_LOSE_COMMAND ? SPOIL_REQUEST : SPOIL_REPLY);
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
    const struct contract_spoiler spoiler = {proxy_open,  proxy_spoil, proxy_spoilt, proxy_settle,
                                             proxy_close, ANSWER_MS,   PAUSE_MS};
    return contract_product_spoilt(&product_mongo_place, &spoiler);
}
