#include "mail-svc/letter.h"

#include <inttypes.h>
#include <sodium.h>
#include <time.h>

#include "lib/base/invariant.h"
#include "proto/money.h"

enum { QUOTED_LINE_MAX = 75, WORD_MAX_BYTES = 45 };

/* ---- header fields ---- */

static bool is_ascii(struct text text)
{
    for (uint32_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x20 || text.data[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

/* How many bytes of whole characters fit a word. */
static uint32_t word_cut(struct text text)
{
    uint32_t size = text.size < WORD_MAX_BYTES ? text.size : WORD_MAX_BYTES;
    while (size < text.size && size > 0 && ((uint8_t)text.data[size] & 0xc0) == 0x80) {
        size--;
    }
    return size > 0 ? size : text.size;
}

static bool word_add(struct text part, struct buffer *out)
{
    char base64[sodium_base64_ENCODED_LEN(WORD_MAX_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    ASSERT(part.size <= WORD_MAX_BYTES);
    sodium_bin2base64(base64, sizeof base64, (const uint8_t *)part.data, part.size, sodium_base64_VARIANT_ORIGINAL);
    return buffer_add_string(out, "=?UTF-8?B?") && buffer_add_string(out, base64) && buffer_add_string(out, "?=");
}

static bool encoded_write(struct text text, struct buffer *out)
{
    bool added = true;
    while (added && text.size > 0) {
        uint32_t size = word_cut(text);
        added = word_add((struct text){text.data, size}, out);
        text = (struct text){text.data + size, text.size - size};
        added = added && (text.size == 0 || buffer_add_string(out, "\r\n "));
    }
    return added;
}

bool words_write(struct text text, struct buffer *out)
{
    bool plain = is_ascii(text) && text.size <= QUOTED_LINE_MAX;
    for (uint32_t i = 1; plain && i < text.size; i++) {
        plain = text.data[i - 1] != '=' || text.data[i] != '?'; /* would be read as an encoded word */
    }
    return plain ? buffer_add_text(out, text) : encoded_write(text, out);
}

bool phrase_write(struct text text, struct buffer *out)
{
    if (!is_ascii(text) || text.size > QUOTED_LINE_MAX) {
        return encoded_write(text, out);
    }
    bool added = buffer_add_char(out, '"');
    for (uint32_t i = 0; added && i < text.size; i++) {
        char c = text.data[i];
        added = ((c != '"' && c != '\\') || buffer_add_char(out, '\\')) && buffer_add_char(out, c);
    }
    return added && buffer_add_char(out, '"');
}

bool date_write(int64_t time_ms, struct buffer *out)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm)) {
        return false;
    }
    return buffer_printf(out, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                         tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

bool address_is_plain(struct text address)
{
    static const char specials[] = "()<>[]:;,\\\"";
    uint32_t at_count = 0, at = 0;
    for (uint32_t i = 0; i < address.size; i++) {
        char c = address.data[i];
        if (c <= 0x20 || c > 0x7e || strchr(specials, c)) {
            return false;
        }
        if (c == '@') {
            at_count++;
            at = i;
        }
    }
    return at_count == 1 && at > 0 && at + 1 < address.size && address.size <= LETTER_ADDRESS_MAX;
}

/* ---- the text ---- */

/* Whether a character is written as it is. A space or tab at the end of a line would be lost on the way. */
static bool stands(const char *at, const char *end)
{
    uint8_t c = (uint8_t)*at;
    bool last = at + 1 == end || at[1] == '\n';
    return c == ' ' || c == '\t' ? !last : c > 0x20 && c < 0x7f && c != '=';
}

bool quoted_write(struct text text, struct buffer *out)
{
    const char *end = text.data + text.size;
    int column = 0;
    bool added = true;
    for (const char *at = text.data; added && at < end; at++) {
        if (*at == '\n') {
            added = buffer_add_string(out, "\r\n");
            column = 0;
            continue;
        }
        bool plain = stands(at, end);
        int width = plain ? 1 : 3;
        if (column + width > QUOTED_LINE_MAX) {
            added = buffer_add_string(out, "=\r\n");
            column = 0;
        }
        added = added && (plain ? buffer_add_char(out, *at) : buffer_printf(out, "=%02X", (unsigned)(uint8_t)*at));
        column += width;
    }
    return added;
}

struct template {
    const char *type, *subject, *body;
};

static const struct template templates[] = {
#define TEMPLATE(type, subject, body) {type, subject, body},
#include "mail-svc/templates.def"
};

static const struct template *template_find(struct text type)
{
    for (size_t i = 0; i < ARRAY_COUNT(templates); i++) {
        if (text_is(type, templates[i].type)) {
            return &templates[i];
        }
    }
    return NULL;
}

bool letter_has_template(struct text type)
{
    return template_find(type) != NULL;
}

static bool amount_write(int64_t minor, struct text currency, struct buffer *out)
{
    char room[MONEY_TEXT_SIZE];
    int decimals = currency_decimals(currency);
    money_format(minor, decimals >= 0 ? decimals : 2, room);
    return buffer_add_string(out, room) && buffer_add_char(out, ' ') && buffer_add_text(out, currency);
}

static bool lines_write(const struct order *order, struct buffer *out)
{
    bool added = true;
    for (uint32_t i = 0; added && i < order->lines.count; i++) {
        const struct order_line *line = &order->lines.items[i];
        added = buffer_printf(out, "  %" PRId64 " x ", line->quantity) && buffer_add_text(out, line->name) &&
                buffer_add_string(out, ", ") && amount_write(line->total, order->currency, out) &&
                buffer_add_char(out, '\n');
    }
    return added;
}

static bool field_write(const struct letter *letter, struct text name, struct buffer *out)
{
    if (text_is(name, "name")) {
        return buffer_add_text(out, letter->name);
    }
    if (text_is(name, "number")) {
        return buffer_add_text(out, letter->order->number);
    }
    if (text_is(name, "shop")) {
        return buffer_add_text(out, letter->shop);
    }
    if (text_is(name, "total")) {
        return amount_write(letter->order->total, letter->order->currency, out);
    }
    ASSERT(text_is(name, "lines")); /* templates.def has no other */
    return lines_write(letter->order, out);
}

static bool template_write(const struct letter *letter, const char *template, struct buffer *out)
{
    const char *open;
    bool added = true;
    while (added && (open = strstr(template, "{{")) != NULL) {
        const char *close = strstr(open, "}}");
        ASSERT(close != NULL);
        added = buffer_add(out, template, (size_t)(open - template)) &&
                field_write(letter, (struct text){open + 2, (uint32_t)(close - open - 2)}, out);
        template = close + 2;
    }
    return added && buffer_add_string(out, template);
}

/* ---- the whole ---- */

static bool party_write(const char *field, struct text name, struct text address, struct buffer *out)
{
    return buffer_add_string(out, field) && phrase_write(name, out) && buffer_add_string(out, "\r\n <") &&
           buffer_add_text(out, address) && buffer_add_string(out, ">\r\n");
}

static struct text domain_of(struct text address)
{
    const char *at = memchr(address.data, '@', address.size);
    ASSERT(at != NULL);
    return (struct text){at + 1, (uint32_t)(address.data + address.size - at - 1)};
}

static bool head_write(const struct letter *letter, struct text subject, struct buffer *out)
{
    return buffer_add_string(out, "Date: ") && date_write(letter->time_ms, out) && buffer_add_string(out, "\r\n") &&
           party_write("From: ", letter->shop, letter->from, out) &&
           party_write("To: ", letter->name, letter->to, out) && buffer_add_string(out, "Subject: ") &&
           words_write(subject, out) && buffer_add_string(out, "\r\nMessage-ID: <") &&
           buffer_add_text(out, letter->event_id) && buffer_add_char(out, '@') &&
           buffer_add_text(out, domain_of(letter->from)) &&
           buffer_add_string(out, ">\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                                  "Content-Type: text/plain; charset=utf-8\r\n"
                                  "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
}

bool letter_write(const struct letter *letter, struct buffer *out)
{
    const struct template *template = template_find(letter->type);
    AUTO(buffer_release) struct buffer subject;
    AUTO(buffer_release) struct buffer body;
    ASSERT(template != NULL);
    buffer_init(&subject, LETTER_MAX_SIZE);
    buffer_init(&body, LETTER_MAX_SIZE);
    return template_write(letter, template->subject, &subject) && template_write(letter, template->body, &body) &&
           head_write(letter, buffer_text(&subject), out) && quoted_write(buffer_text(&body), out);
}
