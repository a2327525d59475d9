#include "gateway/token.h"

#include <jansson.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>

#include "gateway/json_scan.h"

struct token_parts {
    struct text header, payload, signature; /* as sent */
};

static void json_release(json_t **json)
{
    json_decref(*json);
}

/* ---- keys ---- */

struct token_key_entry {
    char *kid, *x, *y; /* owned */
    EVP_PKEY *public;  /* owned */
};

struct token_keys {
    char *issuer; /* owned */
    struct token_key_entry *entries;
    uint32_t count;
};

static char *owned(struct text text)
{
    char *copy = mem_alloc((size_t)text.size + 1);
    if (text.size) {
        memcpy(copy, text.data, text.size);
    }
    return copy;
}

/* NULL unless it is a point of P-256. */
static EVP_PKEY *public_parse(struct text pem)
{
    char curve[32];
    size_t size;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (key && (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
                EVP_PKEY_get_group_name(key, curve, sizeof curve, &size) != 1 || strcmp(curve, "prime256v1") != 0)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

struct token_keys *token_keys_new(const struct signing_keys *from)
{
    struct token_keys *self = mem_alloc(sizeof *self);
    self->issuer = owned(from->issuer);
    self->entries = mem_alloc_array(from->keys.count, sizeof *self->entries);
    for (uint32_t i = 0; i < from->keys.count; i++) {
        const struct signing_key *key = &from->keys.items[i];
        EVP_PKEY *public = public_parse(key->public_pem);
        if (public) {
            self->entries[self->count++] = (struct token_key_entry){
                .kid = owned(key->kid), .x = owned(key->x), .y = owned(key->y), .public = public};
        }
    }
    return self;
}

void token_keys_destroy(struct token_keys **self)
{
    if (!*self) {
        return;
    }
    for (uint32_t i = 0; i < (*self)->count; i++) {
        struct token_key_entry *entry = &(*self)->entries[i];
        mem_free(entry->kid);
        mem_free(entry->x);
        mem_free(entry->y);
        EVP_PKEY_free(entry->public);
    }
    mem_free((*self)->entries);
    mem_free((*self)->issuer);
    mem_free(*self);
    *self = NULL;
}

uint32_t token_keys_count(const struct token_keys *self)
{
    return self->count;
}

bool token_keys_share(const struct token_keys *a, const struct token_keys *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        for (uint32_t j = 0; j < b->count; j++) {
            if (strcmp(a->entries[i].kid, b->entries[j].kid) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool key_write(const struct token_key_entry *entry, struct buffer *out)
{
    return buffer_add_string(out, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":") &&
           buffer_add_json_string(out, text_of(entry->kid)) && buffer_add_string(out, ",\"x\":") &&
           buffer_add_json_string(out, text_of(entry->x)) && buffer_add_string(out, ",\"y\":") &&
           buffer_add_json_string(out, text_of(entry->y)) && buffer_add_char(out, '}');
}

bool token_keys_write(const struct token_keys *self, struct buffer *out)
{
    bool added = buffer_add_string(out, "{\"keys\":[");
    for (uint32_t i = 0; added && i < self->count; i++) {
        added = (i == 0 || buffer_add_char(out, ',')) && key_write(&self->entries[i], out);
    }
    return added && buffer_add_string(out, "]}");
}

/* ---- parts ---- */

static enum err refuse(struct fault *fault, const char *cause)
{
    fault_cause(fault, "token: %s", cause);
    return fault_set(fault, ERR_UNAUTHENTICATED, "The access token is not valid.");
}

/* Three non-empty parts and nothing else. */
static bool parts_cut(struct text token, struct token_parts *out)
{
    struct text rest = token;
    return token.size <= TOKEN_MAX_SIZE && text_cut(&rest, '.', &out->header) && text_cut(&rest, '.', &out->payload) &&
           text_cut(&rest, '.', &out->signature) && rest.data == NULL && out->header.size > 0 &&
           out->header.size <= TOKEN_MAX_HEADER_SIZE && out->payload.size > 0 &&
           out->payload.size <= TOKEN_MAX_PAYLOAD_SIZE && out->signature.size > 0;
}

/* Canonical base64url without padding. */
static bool base64_decode(struct text from, struct arena *arena, struct text *out)
{
    size_t size;
    const char *end;
    unsigned char *room = arena_alloc(arena, from.size);
    if (sodium_base642bin(room, from.size, from.data, from.size, NULL, &size, &end,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        end != from.data + from.size) {
        return false;
    }
    *out = (struct text){(const char *)room, (uint32_t)size};
    return true;
}

/* One of the two JSON parts, looked at before jansson gets it; NULL if it is not acceptable. */
static json_t *part_parse(struct text part, struct arena *arena)
{
    struct text json;
    if (!base64_decode(part, arena, &json) ||
        json_scan(json, TOKEN_MAX_DEPTH, ERR_UNAUTHENTICATED, arena, NULL) != ERR_NONE) {
        return NULL;
    }
    return json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, NULL);
}

static struct text member_text(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return json_is_string(value) ? (struct text){json_string_value(value), (uint32_t)json_string_length(value)}
                                 : (struct text){0};
}

/* *out_key: of the header's kid. */
static enum err header_check(struct text part, const struct token_keys *keys, struct arena *arena, struct fault *fault,
                             EVP_PKEY **out_key)
{
    AUTO(json_release) json_t *header = part_parse(part, arena);
    if (!header) {
        return refuse(fault, "malformed header");
    }
    struct text kid = member_text(header, "kid");
    /* exactly alg, typ and kid: no crit, no jwk, no jku, nothing to be talked into */
    if (json_object_size(header) != 3 || !text_is(member_text(header, "alg"), "ES256") ||
        !text_is(member_text(header, "typ"), "at+jwt") || kid.size == 0) {
        return refuse(fault, "header is not that of an access token");
    }
    for (uint32_t i = 0; i < keys->count; i++) {
        if (text_is(kid, keys->entries[i].kid)) {
            *out_key = keys->entries[i].public;
            return ERR_NONE;
        }
    }
    fault_cause(fault, "token: unknown kid");
    return fault_set(fault, ERR_NOT_FOUND, NULL);
}

enum { ES256_SIGNATURE_SIZE = 64, ES256_DER_MAX_SIZE = 80 };

/* r and s one after the other, as JWS has them, in the form that OpenSSL takes; 0 on failure. */
static int signature_to_der(const unsigned char *raw, unsigned char out[ES256_DER_MAX_SIZE])
{
    enum { HALF = ES256_SIGNATURE_SIZE / 2 };
    unsigned char *at = out;
    int size = 0;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, HALF, NULL), *s = BN_bin2bn(raw + HALF, HALF, NULL);
    if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1) {
        size = i2d_ECDSA_SIG(pair, NULL) <= ES256_DER_MAX_SIZE ? i2d_ECDSA_SIG(pair, &at) : 0;
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(pair);
    return size > 0 ? size : 0;
}

static enum err signature_check(struct text signed_part, struct text signature, EVP_PKEY *key, struct arena *arena,
                                struct fault *fault)
{
    unsigned char der[ES256_DER_MAX_SIZE];
    struct text raw;
    if (!base64_decode(signature, arena, &raw) || raw.size != ES256_SIGNATURE_SIZE) {
        return refuse(fault, "malformed signature");
    }
    int der_size = signature_to_der((const unsigned char *)raw.data, der);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && der_size > 0 && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(context, der, (size_t)der_size, (const unsigned char *)signed_part.data,
                                 signed_part.size) == 1;
    EVP_MD_CTX_free(context);
    return good ? ERR_NONE : refuse(fault, "wrong signature");
}

/* ---- claims ---- */

static bool aud_has(json_t *payload, struct text issuer)
{
    json_t *aud = json_object_get(payload, "aud");
    if (json_is_string(aud)) {
        return text_equal(member_text(payload, "aud"), issuer);
    }
    size_t i;
    json_t *one;
    json_array_foreach(aud, i, one)
    {
        if (json_is_string(one) && text_is(issuer, json_string_value(one))) {
            return true;
        }
    }
    return false;
}

static bool time_of(json_t *payload, const char *name, int64_t *out_s)
{
    json_t *value = json_object_get(payload, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT64_MAX / 4000) {
        return false;
    }
    *out_s = json_integer_value(value);
    return true;
}

static enum err times_check(json_t *payload, int64_t wall_ms, int64_t leeway_s, struct fault *fault,
                            struct token_claims *out)
{
    int64_t iat_s, exp_s, nbf_s, now_s = wall_ms / 1000;
    if (!time_of(payload, "iat", &iat_s) || !time_of(payload, "exp", &exp_s)) {
        return refuse(fault, "iat or exp is missing");
    }
    if (exp_s <= now_s) {
        fault_cause(fault, "token: expired");
        return fault_set(fault, ERR_UNAUTHENTICATED, "The access token has expired.");
    }
    if (iat_s > now_s + leeway_s) {
        return refuse(fault, "issued in the future");
    }
    if (json_object_get(payload, "nbf") && (!time_of(payload, "nbf", &nbf_s) || nbf_s > now_s + leeway_s)) {
        return refuse(fault, "not good yet");
    }
    json_t *at = json_object_get(payload, "at");
    if (at && (!json_is_integer(at) || json_integer_value(at) < 0)) {
        return refuse(fault, "claim at is no time");
    }
    out->issued_at_ms = at ? json_integer_value(at) : iat_s * 1000;
    out->expires_at_ms = exp_s * 1000;
    return ERR_NONE;
}

static enum err claims_read(json_t *payload, const struct token_keys *keys, struct arena *arena, struct fault *fault,
                            struct token_claims *out)
{
    enum { ID_MAX_SIZE = 40 };
    struct text sub = member_text(payload, "sub"), sid = member_text(payload, "sid"), jti = member_text(payload, "jti");
    int role;
    struct text issuer = text_of(keys->issuer);
    if (!text_equal(member_text(payload, "iss"), issuer) || !aud_has(payload, issuer)) {
        return refuse(fault, "wrong iss or aud");
    }
    if (sub.size == 0 || sub.size > ID_MAX_SIZE || sid.size == 0 || sid.size > ID_MAX_SIZE || jti.size == 0 ||
        !enum_find(&role_names, member_text(payload, "role"), &role)) {
        return refuse(fault, "sub, sid, jti or role is missing");
    }
    out->user_id = (struct text){arena_copy(arena, sub.data, sub.size), sub.size};
    out->session_id = (struct text){arena_copy(arena, sid.data, sid.size), sid.size};
    out->role = (enum role)role;
    return ERR_NONE;
}

enum err token_verify(struct text token, const struct token_keys *keys, int64_t wall_ms, int64_t leeway_s,
                      struct arena *arena, struct fault *fault, struct token_claims *out)
{
    struct token_parts parts;
    struct token_claims claims = {0};
    EVP_PKEY *key = NULL;
    if (!parts_cut(token, &parts)) {
        return refuse(fault, "not three parts of good size");
    }
    enum err e = header_check(parts.header, keys, arena, fault, &key);
    if (e != ERR_NONE) {
        return e;
    }
    AUTO(json_release) json_t *payload = part_parse(parts.payload, arena);
    if (!payload) {
        return refuse(fault, "malformed payload");
    }
    struct text signed_part = {token.data, parts.header.size + 1 + parts.payload.size};
    e = signature_check(signed_part, parts.signature, key, arena, fault);
    if (e == ERR_NONE) {
        e = times_check(payload, wall_ms, leeway_s, fault, &claims);
    }
    if (e == ERR_NONE) {
        e = claims_read(payload, keys, arena, fault, &claims);
    }
    if (e == ERR_NONE) {
        *out = claims;
    }
    return e;
}
