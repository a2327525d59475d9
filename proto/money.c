#include "proto/money.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "lib/base/invariant.h"

/* ISO 4217 active codes (2024), grouped by decimals. */
static const char *const currencies_by_decimals[] = {
    [0] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    [2] = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
          "CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF "
          "IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR "
          "MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD "
          "SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER "
          "ZAR ZMW ZWL",
    [3] = "BHD IQD JOD KWD LYD OMR TND",
    [4] = "CLF UYW",
};

int currency_decimals(struct text code)
{
    enum { CODE_SIZE = 3, STRIDE = CODE_SIZE + 1 }; /* codes stand one blank apart */
    for (size_t decimals = 0; code.size == CODE_SIZE && decimals < ARRAY_COUNT(currencies_by_decimals); decimals++) {
        const char *list = currencies_by_decimals[decimals];
        size_t size = list ? strlen(list) : 0;
        for (size_t at = 0; at < size; at += STRIDE) {
            if (list[at] == code.data[0] && list[at + 1] == code.data[1] && list[at + 2] == code.data[2]) {
                return (int)decimals;
            }
        }
    }
    return -1;
}

static int64_t power_of_ten(int exponent)
{
    int64_t power = 1;
    while (exponent-- > 0) {
        power *= 10;
    }
    return power;
}

bool money_from_decimal(int64_t decimal, int decimals, int64_t *out_minor)
{
    ASSERT(decimals >= 0 && decimals <= DECIMAL_DIGITS);
    int64_t unit = power_of_ten(DECIMAL_DIGITS - decimals);
    if (decimal % unit != 0) {
        return false;
    }
    *out_minor = decimal / unit;
    return true;
}

int64_t money_to_decimal(int64_t minor, int decimals)
{
    ASSERT(decimals >= 0 && decimals <= DECIMAL_DIGITS);
    return minor * power_of_ten(DECIMAL_DIGITS - decimals);
}

void money_format(int64_t minor, int decimals, char out[MONEY_TEXT_SIZE])
{
    ASSERT(decimals >= 0 && decimals <= DECIMAL_DIGITS);
    uint64_t amount = minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor;
    uint64_t unit = (uint64_t)power_of_ten(decimals);
    const char *sign = minor < 0 ? "-" : "";
    if (decimals == 0) {
        snprintf(out, MONEY_TEXT_SIZE, "%s%" PRIu64, sign, amount);
    } else {
        snprintf(out, MONEY_TEXT_SIZE, "%s%" PRIu64 ".%0*" PRIu64, sign, amount / unit, decimals, amount % unit);
    }
}

bool decimal_from_text(struct text text, int64_t *out)
{
    int64_t value = 0;
    int decimals = -1; /* digits behind the point; -1 before it */
    uint32_t digits = 0;
    for (uint32_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '.' && decimals < 0 && digits > 0) {
            decimals = 0;
        } else if (c >= '0' && c <= '9' && decimals < DECIMAL_DIGITS && value <= DECIMAL_MAX) {
            value = value * 10 + (c - '0');
            digits++;
            decimals += decimals >= 0;
        } else {
            return false;
        }
    }
    if (digits == 0 || decimals == 0) {
        return false;
    }
    for (int i = decimals < 0 ? 0 : decimals; i < DECIMAL_DIGITS; i++) {
        if (value > DECIMAL_MAX) {
            return false;
        }
        value *= 10;
    }
    if (value > DECIMAL_MAX) {
        return false;
    }
    *out = value;
    return true;
}

bool decimal_from_double(double value, int64_t *out)
{
    char room[64];
    if (!isfinite(value) || fabs(value) >= 1e11) {
        return false;
    }
    double magnitude = fabs(value);
    if (magnitude > 0 && magnitude < 0.0001) {
        return false; /* has digits, all of them beyond the fourth decimal */
    }
    /* 15 significant digits, written without an exponent; negative: zeros behind the point */
    int whole = magnitude > 0 ? (int)floor(log10(magnitude)) + 1 : 1;
    snprintf(room, sizeof room, "%.*f", 15 - whole, magnitude);
    size_t size = strlen(room);
    while (size > 0 && room[size - 1] == '0') {
        room[--size] = '\0';
    }
    if (size > 0 && room[size - 1] == '.') {
        room[--size] = '\0';
    }
    int64_t decimal;
    if (!decimal_from_text(text_of(room), &decimal)) {
        return false;
    }
    *out = value < 0 ? -decimal : decimal;
    return true;
}

bool money_multiply(int64_t minor, int64_t quantity, int64_t *out)
{
    int64_t product;
    if (__builtin_mul_overflow(minor, quantity, &product) || product > MONEY_MAX) {
        return false;
    }
    *out = product;
    return true;
}

bool money_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum) || sum > MONEY_MAX) {
        return false;
    }
    *out = sum;
    return true;
}
