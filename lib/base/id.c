#include "lib/base/id.h"

#include <errno.h>
#include <sys/random.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"

void id_random(void *out, size_t size)
{
    unsigned char *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        ASSERT(got > 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}

/* Makes 16 random bytes a UUIDv7. */
static void id_stamp(uint8_t out[ID_SIZE])
{
    uint64_t ms = (uint64_t)clock_wall_ms();
    for (int i = 0; i < 6; i++) {
        out[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    out[6] = (uint8_t)(0x70 | (out[6] & 0x0f));
    out[8] = (uint8_t)(0x80 | (out[8] & 0x3f));
}

void id_new(uint8_t out[ID_SIZE])
{
    id_random(out, ID_SIZE);
    id_stamp(out);
}

void id_next(struct id_source *source, uint8_t out[ID_SIZE])
{
    if (source->left_size < ID_SIZE) {
        id_random(source->bytes, sizeof source->bytes);
        source->left_size = sizeof source->bytes;
    }
    uint8_t *from = source->bytes + sizeof source->bytes - source->left_size;
    memcpy(out, from, ID_SIZE);
    memset(from, 0, ID_SIZE); /* an id given out can be read nowhere else */
    source->left_size -= ID_SIZE;
    id_stamp(out);
}

void id_to_hex(const uint8_t id[ID_SIZE], char out[ID_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < ID_SIZE; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[2 * ID_SIZE] = '\0';
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool id_from_hex(struct text hex, uint8_t out[ID_SIZE])
{
    uint8_t id[ID_SIZE];
    if (hex.size != 2 * ID_SIZE) {
        return false;
    }
    for (int i = 0; i < ID_SIZE; i++) {
        int high = hex_value(hex.data[2 * i]);
        int low = hex_value(hex.data[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        id[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(out, id, ID_SIZE);
    return true;
}

void id_to_base32(const uint8_t id[ID_SIZE], char out[ID_BASE32_SIZE])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint32_t bits = 0, count = 0, at = 0;
    for (int i = 0; i < ID_SIZE; i++) {
        bits = bits << 8 | id[i];
        count += 8;
        while (count >= 5) {
            out[at++] = digits[bits >> (count - 5) & 31];
            count -= 5;
        }
        bits &= 31;
    }
    out[at++] = digits[bits << (5 - count) & 31];
    out[at] = '\0';
}
