#include "lib/base/clock.h"

#include <time.h>

#include "lib/base/invariant.h"

static int64_t clock_read_ns(clockid_t id)
{
    struct timespec now;
    ASSERT(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_now_us(void)
{
    return clock_read_ns(CLOCK_BOOTTIME) / 1000;
}

int64_t clock_now_ms(void)
{
    return clock_read_ns(CLOCK_BOOTTIME) / 1000000;
}

int64_t clock_wall_ms(void)
{
    return clock_read_ns(CLOCK_REALTIME) / 1000000;
}

int64_t wait_spread_ms(int64_t wait_ms, uint32_t random)
{
    ASSERT(wait_ms >= 0);
    return wait_ms + random % (wait_ms / 5 + 1);
}

static const int64_t WALL_MIN_MS = -62167219200000; /* 0000-01-01T00:00:00.000Z */
static const int64_t WALL_MAX_MS = 253402300799999; /* 9999-12-31T23:59:59.999Z */

static void put_digits(char *at, int count, int value)
{
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

struct date {
    int year, month, day;
};

/* Of the Gregorian calendar, also before it was there; days count from 1970-01-01. gmtime_r would take a lock that all
 * threads share. */
static struct date date_of(int64_t days)
{
    enum { DAYS_TO_1970 = 719468, ERA_DAYS = 146097 }; /* years begin in March here, and 400 of them are an era */
    int64_t from = days + DAYS_TO_1970;
    int64_t era = (from >= 0 ? from : from - ERA_DAYS + 1) / ERA_DAYS;
    int64_t day_of_era = from - era * ERA_DAYS;
    int64_t year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    return (struct date){.year = (int)(year + era * 400 + (month >= 10)),
                         .month = (int)(month < 10 ? month + 3 : month - 9),
                         .day = (int)(day_of_year - (153 * month + 2) / 5 + 1)};
}

void clock_format(int64_t wall_ms, char out[CLOCK_TEXT_SIZE])
{
    enum { DAY_MS = 24 * 60 * 60 * 1000 };
    wall_ms = wall_ms < WALL_MIN_MS ? WALL_MIN_MS : wall_ms > WALL_MAX_MS ? WALL_MAX_MS : wall_ms;
    int of_day_ms = (int)((wall_ms % DAY_MS + DAY_MS) % DAY_MS);
    struct date date = date_of((wall_ms - of_day_ms) / DAY_MS);
    memcpy(out, "0000-00-00T00:00:00.000Z", CLOCK_TEXT_SIZE);
    put_digits(out, 4, date.year);
    put_digits(out + 5, 2, date.month);
    put_digits(out + 8, 2, date.day);
    put_digits(out + 11, 2, of_day_ms / 3600000);
    put_digits(out + 14, 2, of_day_ms / 60000 % 60);
    put_digits(out + 17, 2, of_day_ms / 1000 % 60);
    put_digits(out + 20, 3, of_day_ms % 1000);
}

/* Reads exactly count digits at *at; -1 if there is anything else. */
static int digits(struct text text, uint32_t *at, uint32_t count)
{
    int value = 0;
    if (text.size - *at < count || *at > text.size) {
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        char c = text.data[(*at)++];
        if (c < '0' || c > '9') {
            return -1;
        }
        value = value * 10 + (c - '0');
    }
    return value;
}

static bool literal(struct text text, uint32_t *at, char upper)
{
    if (*at >= text.size || (text.data[*at] != upper && text.data[*at] != upper + ('a' - 'A') * (upper >= 'A'))) {
        return false;
    }
    (*at)++;
    return true;
}

static bool fraction(struct text text, uint32_t *at, int *out_ms)
{
    int ms = 0, scale = 100;
    uint32_t count = 0;
    while (*at < text.size && text.data[*at] >= '0' && text.data[*at] <= '9') {
        ms += (text.data[(*at)++] - '0') * scale;
        scale /= 10;
        count++;
    }
    *out_ms = ms;
    return count >= 1 && count <= 9;
}

static bool offset_minutes(struct text text, uint32_t *at, int *out)
{
    if (literal(text, at, 'Z')) {
        *out = 0;
        return true;
    }
    int sign = *at < text.size && text.data[*at] == '-' ? -1 : 1;
    if (*at >= text.size || (text.data[*at] != '+' && text.data[*at] != '-')) {
        return false;
    }
    (*at)++;
    int hours = digits(text, at, 2);
    if (!literal(text, at, ':')) {
        return false;
    }
    int minutes = digits(text, at, 2);
    *out = sign * (hours * 60 + minutes);
    return hours >= 0 && hours <= 23 && minutes >= 0 && minutes <= 59;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

bool clock_parse(struct text text, int64_t *out_wall_ms)
{
    uint32_t at = 0;
    int ms = 0, offset = 0;
    int year = digits(text, &at, 4);
    if (year < 0 || !literal(text, &at, '-')) {
        return false;
    }
    int month = digits(text, &at, 2);
    if (month < 1 || month > 12 || !literal(text, &at, '-')) {
        return false;
    }
    int day = digits(text, &at, 2);
    if (day < 1 || day > days_in_month(year, month) || (!literal(text, &at, 'T') && !literal(text, &at, ' '))) {
        return false;
    }
    int hour = digits(text, &at, 2);
    if (hour < 0 || hour > 23 || !literal(text, &at, ':')) {
        return false;
    }
    int minute = digits(text, &at, 2);
    if (minute < 0 || minute > 59 || !literal(text, &at, ':')) {
        return false;
    }
    int second = digits(text, &at, 2);
    if (second < 0 || second > 60 || (literal(text, &at, '.') && !fraction(text, &at, &ms)) ||
        !offset_minutes(text, &at, &offset) || at != text.size) {
        return false;
    }
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day,
                    .tm_hour = hour, .tm_min = minute, .tm_sec = second};
    *out_wall_ms = ((int64_t)timegm(&tm) - (int64_t)offset * 60) * 1000 + ms;
    return true;
}
