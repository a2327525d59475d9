#include "user-svc/token.h"

#include <jwt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/id.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { COORDINATE_BYTES = 32, SIGNATURE_BYTES = 64, SIGNATURE_DER_MAX_BYTES = 80, CLAIMS_MAX_SIZE = 1200 };

struct token_signer {
    char kid[TOKEN_KID_SIZE];
    EVP_PKEY *key; /* owned */
};

static void bio_free(BIO **bio)
{
    BIO_free(*bio); /* memory BIOs of private keys are secure ones: freed is wiped */
}

static void pkey_free(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void bignum_free(BIGNUM **number)
{
    BN_free(*number);
}

static void base64url(const uint8_t *bytes, size_t size, char *out, size_t out_size)
{
    ASSERT(sodium_bin2base64(out, out_size, bytes, size, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != NULL);
}

/* ---- keys ---- */

static bool coordinate_read(const EVP_PKEY *key, const char *name, char out[TOKEN_COORDINATE_SIZE])
{
    AUTO(bignum_free) BIGNUM *number = NULL;
    uint8_t bytes[COORDINATE_BYTES];
    if (!EVP_PKEY_get_bn_param(key, name, &number) || BN_bn2binpad(number, bytes, sizeof bytes) != sizeof bytes) {
        return false;
    }
    base64url(bytes, sizeof bytes, out, TOKEN_COORDINATE_SIZE);
    return true;
}

static bool bio_read(BIO *bio, char out[TOKEN_PEM_SIZE])
{
    char *data = NULL;
    long size = BIO_get_mem_data(bio, &data);
    return size > 0 && text_to_string((struct text){data, (uint32_t)size}, out, TOKEN_PEM_SIZE);
}

static bool pems_write(EVP_PKEY *key, struct token_key *out)
{
    AUTO(bio_free) BIO *open = BIO_new(BIO_s_mem());
    AUTO(bio_free) BIO *closed = BIO_new(BIO_s_secmem());
    return open && closed && PEM_write_bio_PUBKEY(open, key) && bio_read(open, out->public_pem) &&
           PEM_write_bio_PKCS8PrivateKey(closed, key, NULL, NULL, 0, NULL, NULL) && bio_read(closed, out->private_pem);
}

/* RFC 7638: the required members in alphabetical order, no blanks. */
static void thumbprint_make(struct token_key *key)
{
    AUTO(buffer_release) struct buffer json;
    uint8_t hash[crypto_hash_sha256_BYTES];
    buffer_init(&json, CLAIMS_MAX_SIZE);
    ASSERT(buffer_add_string(&json, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":") &&
           buffer_add_json_string(&json, text_of(key->x)) && buffer_add_string(&json, ",\"y\":") &&
           buffer_add_json_string(&json, text_of(key->y)) && buffer_add_char(&json, '}'));
    crypto_hash_sha256(hash, (const unsigned char *)json.data, json.size);
    base64url(hash, sizeof hash, key->kid, sizeof key->kid);
}

bool token_key_make(struct token_key *out)
{
    AUTO(pkey_free) EVP_PKEY *key = EVP_EC_gen("P-256");
    struct token_key made = {0};
    bool good = key && coordinate_read(key, OSSL_PKEY_PARAM_EC_PUB_X, made.x) &&
                coordinate_read(key, OSSL_PKEY_PARAM_EC_PUB_Y, made.y) && pems_write(key, &made);
    if (good) {
        thumbprint_make(&made);
        *out = made;
    }
    token_key_wipe(&made);
    return good;
}

void token_key_wipe(struct token_key *key)
{
    sodium_memzero(key, sizeof *key);
}

struct token_signer *token_signer_new(struct text kid, struct text private_pem)
{
    AUTO(bio_free) BIO *bio = BIO_new_mem_buf(private_pem.data, (int)private_pem.size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    char group[32] = "";
    struct token_signer *self = NULL;
    if (key && EVP_PKEY_get_group_name(key, group, sizeof group, NULL) && strcmp(group, "prime256v1") == 0) {
        self = mem_alloc(sizeof *self);
        if (text_to_string(kid, self->kid, sizeof self->kid)) {
            self->key = key;
            return self;
        }
    }
    EVP_PKEY_free(key);
    mem_free(self);
    return NULL;
}

void token_signer_destroy(struct token_signer **self)
{
    if (*self) {
        EVP_PKEY_free((*self)->key);
        mem_free(*self);
        *self = NULL;
    }
}

/* ---- tokens ---- */

static bool claims_add(jwt_t *jwt, const struct token_claims *claims)
{
    uint8_t random[ID_SIZE];
    char jti[ID_BASE32_SIZE];
    int64_t iat = claims->now_ms / 1000;
    id_random(random, sizeof random);
    id_to_base32(random, jti);
    return jwt_add_grant(jwt, "iss", claims->issuer) == 0 && jwt_add_grant(jwt, "aud", claims->issuer) == 0 &&
           jwt_add_grant(jwt, "client_id", "zmart") == 0 && jwt_add_grant(jwt, "sub", claims->user_id) == 0 &&
           jwt_add_grant(jwt, "role", enum_name(&role_names, (int)claims->role)) == 0 &&
           jwt_add_grant(jwt, "sid", claims->session_id) == 0 && jwt_add_grant(jwt, "jti", jti) == 0 &&
           jwt_add_grant_int(jwt, "iat", (long)iat) == 0 &&
           jwt_add_grant_int(jwt, "exp", (long)(iat + claims->ttl_s)) == 0 &&
           jwt_add_grant_int(jwt, "at", (long)claims->at_ms) == 0;
}

/* The claims as one line of JSON; the caller releases it with mem_free. */
static char *claims_json(const struct token_claims *claims)
{
    jwt_t *jwt = NULL;
    char *json = NULL;
    if (jwt_new(&jwt) == 0 && claims_add(jwt, claims)) {
        json = jwt_get_grants_json(jwt, NULL);
    }
    jwt_free(jwt);
    return json;
}

static bool part_add(struct buffer *out, const void *bytes, size_t size)
{
    char text[sodium_base64_ENCODED_LEN(CLAIMS_MAX_SIZE, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
    if (size > CLAIMS_MAX_SIZE) {
        return false;
    }
    base64url(bytes, size, text, sizeof text);
    return buffer_add_string(out, text);
}

static bool header_add(struct buffer *out, const char *kid)
{
    AUTO(buffer_release) struct buffer json;
    buffer_init(&json, CLAIMS_MAX_SIZE);
    return buffer_add_string(&json, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":") &&
           buffer_add_json_string(&json, text_of(kid)) && buffer_add_char(&json, '}') &&
           part_add(out, json.data, json.size);
}

/* JWS wants the two numbers side by side (RFC 7518, 3.4), OpenSSL gives them as DER. */
static bool signature_flatten(const uint8_t *der, size_t der_size, uint8_t out[SIGNATURE_BYTES])
{
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)der_size);
    bool good = pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, COORDINATE_BYTES) == COORDINATE_BYTES &&
                BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + COORDINATE_BYTES, COORDINATE_BYTES) == COORDINATE_BYTES;
    ECDSA_SIG_free(pair);
    return good;
}

static bool signature_make(EVP_PKEY *key, struct text what, uint8_t out[SIGNATURE_BYTES])
{
    uint8_t der[SIGNATURE_DER_MAX_BYTES];
    size_t der_size = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool made = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestSign(context, der, &der_size, (const unsigned char *)what.data, what.size) == 1;
    EVP_MD_CTX_free(context);
    return made && signature_flatten(der, der_size, out);
}

bool token_sign(const struct token_signer *signer, const struct token_claims *claims, char out[TOKEN_SIZE])
{
    AUTO(buffer_release) struct buffer token;
    uint8_t signature[SIGNATURE_BYTES];
    buffer_init(&token, TOKEN_SIZE - 1);
    char *json = claims_json(claims);
    bool made = json && header_add(&token, signer->kid) && buffer_add_char(&token, '.') &&
                part_add(&token, json, strlen(json)) && signature_make(signer->key, buffer_text(&token), signature) &&
                buffer_add_char(&token, '.') && part_add(&token, signature, sizeof signature);
    mem_free(json); /* libjwt asks malloc, as lib/base/mem does */
    return made && text_to_string(buffer_text(&token), out, TOKEN_SIZE);
}
