#include "user-svc/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <utf8proc.h>

#include "lib/base/invariant.h"

/* ---- e-mail addresses ---- */

static bool is_ascii_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* True for what can be seen and written: no blanks, controls, joiners, private or unassigned code points. */
static bool is_graphic(utf8proc_int32_t code_point)
{
    utf8proc_category_t category = utf8proc_category(code_point);
    return category != UTF8PROC_CATEGORY_CN && category < UTF8PROC_CATEGORY_ZS;
}

/* Only the non-ASCII code points; ASCII is judged by the callers. */
static bool others_are_graphic(struct text text)
{
    utf8proc_ssize_t at = 0;
    while (at < (utf8proc_ssize_t)text.size) {
        utf8proc_int32_t code_point;
        utf8proc_ssize_t step =
            utf8proc_iterate((const utf8proc_uint8_t *)text.data + at, (utf8proc_ssize_t)text.size - at, &code_point);
        if (step <= 0 || (code_point >= 0x80 && !is_graphic(code_point))) {
            return false;
        }
        at += step;
    }
    return true;
}

static bool local_part_is_good(struct text local)
{
    if (local.size == 0 || local.size > EMAIL_LOCAL_MAX_SIZE) {
        return false;
    }
    for (uint32_t i = 0; i < local.size; i++) {
        unsigned char c = (unsigned char)local.data[i];
        if (c < 0x80 && !is_ascii_alnum(c) && !memchr(".!#$%&'*+-/=?^_`{|}~", c, 20)) {
            return false;
        }
    }
    return true;
}

static bool label_is_good(struct text label)
{
    if (label.size == 0 || label.size > EMAIL_LABEL_MAX_SIZE || label.data[0] == '-' ||
        label.data[label.size - 1] == '-') {
        return false;
    }
    for (uint32_t i = 0; i < label.size; i++) {
        unsigned char c = (unsigned char)label.data[i];
        if (c < 0x80 && !is_ascii_alnum(c) && c != '-') {
            return false;
        }
    }
    return true;
}

static bool domain_is_good(struct text domain)
{
    struct text rest = domain, label;
    if (domain.size == 0 || domain.size > EMAIL_DOMAIN_MAX_SIZE || domain.data[domain.size - 1] == '.') {
        return false;
    }
    while (text_cut(&rest, '.', &label)) {
        if (!label_is_good(label)) {
            return false;
        }
    }
    return true;
}

const char *email_problem(struct text email)
{
    struct text domain = email, local;
    if (!text_cut(&domain, '@', &local) || local.size == email.size ||
        (domain.size > 0 && memchr(domain.data, '@', domain.size))) {
        return "needs exactly one @";
    }
    if (!text_is_utf8(email) || !others_are_graphic(email)) {
        return "takes no blanks or invisible characters";
    }
    if (!local_part_is_good(local)) {
        return "has characters before the @ that addresses do not have, none, or too many";
    }
    return domain_is_good(domain) ? NULL : "has no usable domain after the @";
}

bool email_fold(struct text email, char out[EMAIL_FOLDED_SIZE])
{
    enum { CODE_POINTS_MAX = EMAIL_FOLDED_SIZE / 4 }; /* so that their UTF-8 fits out, with a NUL */
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD;
    utf8proc_int32_t code_points[CODE_POINTS_MAX + 1];
    if (email.size == 0 || !text_is_utf8(email)) {
        return false;
    }
    utf8proc_ssize_t count = utf8proc_decompose((const utf8proc_uint8_t *)email.data, (utf8proc_ssize_t)email.size,
                                                code_points, CODE_POINTS_MAX - 1, options);
    if (count <= 0 || count >= CODE_POINTS_MAX) {
        return false;
    }
    /* writes the UTF-8 over the code points, which need at least as much room */
    utf8proc_ssize_t size = utf8proc_reencode(code_points, count, options);
    if (size <= 0 || size >= EMAIL_FOLDED_SIZE) {
        return false;
    }
    memcpy(out, code_points, (size_t)size);
    out[size] = '\0';
    return true;
}

/* ---- passwords ---- */

/* The ones that everybody tries first, in lower case, sorted. */
static const char *const common_passwords[] = {
#define COMMON(password) password,
#include "user-svc/common_passwords.def"
#undef COMMON
};

static bool is_common(struct text password)
{
    for (size_t i = 0; i < ARRAY_COUNT(common_passwords); i++) {
        if (text_equal_ignoring_case(password, text_of(common_passwords[i]))) {
            return true;
        }
    }
    return false;
}

const char *password_problem(const struct password_policy *policy, struct text password, struct text email,
                             struct text name, char message[PASSWORD_MESSAGE_SIZE])
{
    if ((int64_t)text_length(password) < policy->min_length) {
        snprintf(message, PASSWORD_MESSAGE_SIZE, "takes %" PRId64 " characters or more", policy->min_length);
        return message;
    }
    if (!policy->strict) {
        return NULL;
    }
    if (is_common(password)) {
        return "is one of the passwords that everybody tries first";
    }
    struct text domain = email, local;
    bool has_local = text_cut(&domain, '@', &local);
    if (text_equal_ignoring_case(password, email) || text_equal_ignoring_case(password, name) ||
        (has_local && text_equal_ignoring_case(password, local))) {
        return "must not be the account's name or address";
    }
    return NULL;
}

/* ---- delays after failed passwords ---- */

int64_t attempts_wait_ms(const struct attempts *attempts, int64_t now_ms)
{
    /* of a clock that was ahead and has been put right since, nobody waits for what it showed */
    bool of_our_time = attempts->last_ms <= now_ms + CLOCKS_DIFFER_MS;
    return of_our_time && attempts->blocked_until_ms > now_ms ? attempts->blocked_until_ms - now_ms : 0;
}

void attempts_fail(struct attempts *attempts, const struct attempt_policy *policy, int64_t now_ms)
{
    int64_t forget_ms = policy->delay_max_ms > ATTEMPT_FORGET_MS ? policy->delay_max_ms : ATTEMPT_FORGET_MS;
    if (attempts->failures > 0 && now_ms - attempts->last_ms > forget_ms) {
        *attempts = (struct attempts){0};
    }
    attempts->failures++;
    attempts->last_ms = now_ms;
    if (attempts->failures <= policy->free_failures) {
        return;
    }
    int64_t delay_ms = ATTEMPT_DELAY_FIRST_MS;
    for (int64_t i = policy->free_failures + 1; i < attempts->failures && delay_ms < policy->delay_max_ms; i++) {
        delay_ms *= 2;
    }
    attempts->blocked_until_ms = now_ms + (delay_ms < policy->delay_max_ms ? delay_ms : policy->delay_max_ms);
}

/* ---- accounts ---- */

struct new_account_roles new_account_roles(struct text email_folded, struct text pinned)
{
    if (pinned.size == 0) {
        return (struct new_account_roles){.first = ROLE_ADMIN, .later = ROLE_CUSTOMER};
    }
    enum role role = text_equal(email_folded, pinned) ? ROLE_ADMIN : ROLE_CUSTOMER;
    return (struct new_account_roles){.first = role, .later = role};
}

enum err user_edit_access(const struct user_edit *edit, bool is_self, bool is_admin)
{
    if (is_self) {
        return ERR_NONE;
    }
    if (!is_admin) {
        return ERR_NOT_FOUND;
    }
    return user_edit_needs_password(edit) ? ERR_FORBIDDEN : ERR_NONE;
}

bool user_edit_needs_password(const struct user_edit *edit)
{
    return has(user_edit, edit, password) || has(user_edit, edit, email);
}

int user_edit_bad_country(const struct user_edit *edit)
{
    for (uint32_t i = 0; has(user_edit, edit, addresses) && i < edit->addresses.count; i++) {
        if (!address_country_known(edit->addresses.items[i].country)) {
            return (int)i;
        }
    }
    return -1;
}

static struct text trimmed(struct text text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

bool user_version_matches(struct text if_match, int64_t version)
{
    char tag[32];
    snprintf(tag, sizeof tag, "\"%" PRId64 "\"", version);
    if (text_is(trimmed(if_match), "*")) {
        return true;
    }
    struct text one;
    while (text_cut(&if_match, ',', &one)) {
        if (text_is(trimmed(one), tag)) {
            return true;
        }
    }
    return false;
}

/* ---- sessions ---- */

bool session_is_over(const struct session_policy *policy, int64_t created_ms, int64_t used_ms, int64_t now_ms)
{
    return now_ms - created_ms > policy->total_ms || now_ms - used_ms > policy->idle_ms;
}

int64_t token_time_ms(int64_t now_ms, int64_t denied_until_ms)
{
    return now_ms > denied_until_ms ? now_ms : denied_until_ms + 1;
}

int64_t denial_time_ms(int64_t now_ms, int64_t denied_until_ms)
{
    int64_t time_ms = now_ms + CLOCKS_DIFFER_MS;
    return time_ms > denied_until_ms ? time_ms : denied_until_ms + 1;
}

/* ---- signing keys ---- */

int key_that_signs(const struct key_policy *policy, const int64_t *created_ms, int count, int64_t now_ms)
{
    for (int i = 0; i < count; i++) {
        if (created_ms[i] + policy->lead_ms <= now_ms) {
            return i;
        }
    }
    return count - 1;
}

bool key_elders_are_over(const struct key_policy *policy, int64_t signing_created_ms, int64_t now_ms)
{
    return signing_created_ms + policy->lead_ms + policy->token_ms + KEY_MARGIN_MS <= now_ms;
}

bool key_is_due(const struct key_policy *policy, int64_t newest_created_ms, int64_t now_ms)
{
    return policy->rotate_ms > 0 && newest_created_ms + policy->rotate_ms <= now_ms;
}
