#include "webhook-svc/reach.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"

/* A network: the first bits of an address. */
struct network {
    uint8_t bytes[16];
    int bits;
};

/* IANA's registry of special-purpose addresses, as far as it says "not globally reachable", and multicast. */
static const struct network special4[] = {
    {{0}, 8},           {{10}, 8},          {{100, 64}, 10},     {{127}, 8},          {{169, 254}, 16},
    {{172, 16}, 12},    {{192, 0, 0}, 24},  {{192, 0, 2}, 24},   {{192, 31, 196}, 24}, {{192, 52, 193}, 24},
    {{192, 88, 99}, 24}, {{192, 168}, 16},  {{192, 175, 48}, 24}, {{198, 18}, 15},     {{198, 51, 100}, 24},
    {{203, 0, 113}, 24}, {{224}, 4},        {{240}, 4},
};
/* Only 2000::/3 is given out at all; in it: IETF protocols and Teredo, documentation, 6to4. */
static const struct network global6 = {{0x20}, 3};
static const struct network special6[] = {
    {{0x20, 0x01, 0x00}, 23}, {{0x20, 0x01, 0x0d, 0xb8}, 32}, {{0x20, 0x02}, 16}, {{0x3f, 0xff}, 20},
};
static const struct network loopback4 = {{127}, 8};

static bool is_within(const uint8_t *address, const struct network *network)
{
    int whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(address, network->bytes, (size_t)whole) != 0) {
        return false;
    }
    return rest == 0 || ((address[whole] ^ network->bytes[whole]) >> (8 - rest)) == 0;
}

static bool is_within_any(const uint8_t *address, const struct network *networks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_within(address, &networks[i])) {
            return true;
        }
    }
    return false;
}

bool address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof four);
        return !is_within_any((const uint8_t *)&four.sin_addr, special4, ARRAY_COUNT(special4));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        return is_within(six.sin6_addr.s6_addr, &global6) &&
               !is_within_any(six.sin6_addr.s6_addr, special6, ARRAY_COUNT(special6));
    }
    return false;
}

bool address_is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof four);
        return is_within((const uint8_t *)&four.sin_addr, &loopback4);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        return IN6_IS_ADDR_LOOPBACK(&six.sin6_addr);
    }
    return false;
}

bool address_is_allowed(const struct sockaddr *address, bool insecure_loopback)
{
    return address_is_public(address) || (insecure_loopback && address_is_loopback(address));
}

/* ---- URLs ---- */

static void url_release(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void part_release(char **part)
{
    curl_free(*part);
}

static bool part_is_there(CURLU *url, CURLUPart part)
{
    AUTO(part_release) char *value = NULL;
    return curl_url_get(url, part, &value, 0) == CURLUE_OK;
}

/* Literal addresses, in whatever spelling: curl writes 0x7f.1 and 2130706433 as 127.0.0.1. */
static bool host_is_allowed(const char *host, bool insecure_loopback)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    char inner[INET6_ADDRSTRLEN];
    if (host[0] == '[') {
        snprintf(inner, sizeof inner, "%.*s", (int)strcspn(host + 1, "%]"), host + 1);
        return inet_pton(AF_INET6, inner, &six.sin6_addr) == 1 &&
               address_is_allowed((const struct sockaddr *)&six, insecure_loopback);
    }
    return inet_pton(AF_INET, host, &four.sin_addr) != 1 ||
           address_is_allowed((const struct sockaddr *)&four, insecure_loopback);
}

static const char *url_trouble(CURLU *url, bool insecure_loopback)
{
    AUTO(part_release) char *scheme = NULL;
    AUTO(part_release) char *host = NULL;
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        (strcmp(scheme, "https") != 0 && !(insecure_loopback && strcmp(scheme, "http") == 0))) {
        return "takes a URL that begins with https://";
    }
    if (part_is_there(url, CURLUPART_USER) || part_is_there(url, CURLUPART_PASSWORD)) {
        return "takes no account or password; what is posted is signed";
    }
    if (part_is_there(url, CURLUPART_FRAGMENT)) {
        return "takes no fragment";
    }
    if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK || host[0] == '\0') {
        return "names no host";
    }
    return host_is_allowed(host, insecure_loopback) ? NULL : "is an address that is not on the public Internet";
}

enum err url_check(struct text url, bool insecure_loopback, struct fault *fault)
{
    char copy[2048 * 4];
    AUTO(url_release) CURLU *parsed = curl_url();
    const char *trouble = "is no URL";
    if (parsed && text_to_string(url, copy, sizeof copy) &&
        curl_url_set(parsed, CURLUPART_URL, copy, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK) {
        trouble = url_trouble(parsed, insecure_loopback);
    }
    if (!trouble) {
        return ERR_NONE;
    }
    fault_add(fault, "/url", "out_of_range", -1, "%s", trouble);
    return fault_set(fault, ERR_INVALID_BODY, NULL);
}
