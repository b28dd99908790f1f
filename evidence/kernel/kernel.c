/* SPDX-License-Identifier: Apache-2.0
 *
 * evidence.kernel._kernel: what is done for every row, compiled. evidence/kernel/__init__.py says what each function
 * promises; evidence/rows and evidence/tree hold the reference that it must equal, byte for byte.
 *
 * No file, no clock, no state between calls. Memory is bounded by the arguments. Every function gets read-only buffers,
 * checks their sizes against each other before it reads, and lets other threads run meanwhile.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if !defined(__GNUC__)
#error "vectors as in GCC and Clang are needed; without them Jinsuo runs by its reference in Python"
#endif

/* ---- SHA-256 over many messages ---- */

static const uint32_t ROUND_CONSTANTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
static const uint32_t INITIAL[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};
static const uint8_t ZEROS[64] = {0};

/* The messages of one run: message i is head_i (the same size for all, at most 63 bytes) then data_i. */
struct job {
    const uint32_t *initial;  /* the state before the first block */
    uint64_t hashed_before;   /* bytes that this state stands for */
    const uint8_t *heads;     /* head i stands at heads + i * head_stride */
    size_t head_size, head_stride;
    const uint8_t *data;
    const int64_t *ends;      /* data i is the line before ends[i] - 1 (its LF is not hashed) … */
    size_t step, size;        /* … or, without ends, `size` bytes at i * step */
    uint8_t *out;             /* digest i goes to out + i * out_stride, its first out_size bytes */
    size_t out_size, out_stride;
};

/* One message on its way: a first block that joins head and data, whole blocks of data, one or two with the padding. */
struct lane {
    size_t number;
    size_t first, middle, tail;  /* blocks left of each */
    const uint8_t *at;           /* the next of the middle ones */
    const uint8_t *tail_at;
    uint8_t scratch[3 * 64];     /* the first one, then the last ones */
};
#define IDLE ((size_t)-1)

static inline uint32_t load_be32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

static inline void store_be32(uint8_t *p, uint32_t v) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    memcpy(p, &v, 4);
}

static inline void lane_begin(struct lane *lane, const struct job *job, size_t i) {
    const uint8_t *data;
    size_t size;
    if (job->ends) {
        size_t start = i ? (size_t)job->ends[i - 1] : 0;
        data = job->data + start;
        size = (size_t)job->ends[i] - 1 - start;
    } else {
        data = job->data + i * job->step;
        size = job->size;
    }
    uint64_t bits = (job->hashed_before + job->head_size + size) * 8;
    uint8_t *tail = lane->scratch + 64;
    size_t held = job->head_size;
    lane->number = i;
    lane->first = 0;
    if (held && held + size >= 64) {
        memcpy(lane->scratch, job->heads + i * job->head_stride, held);
        memcpy(lane->scratch + held, data, 64 - held);
        data += 64 - held;
        size -= 64 - held;
        lane->first = 1;
        held = 0;
    } else if (held) {
        memcpy(tail, job->heads + i * job->head_stride, held);
    }
    lane->at = data;
    lane->middle = size / 64;
    size_t rest = size % 64;
    memcpy(tail + held, data + size - rest, rest);
    held += rest;
    tail[held++] = 0x80;
    lane->tail = held > 56 ? 2 : 1;
    memset(tail + held, 0, lane->tail * 64 - 8 - held);
    store_be32(tail + lane->tail * 64 - 8, (uint32_t)(bits >> 32));
    store_be32(tail + lane->tail * 64 - 4, (uint32_t)bits);
    lane->tail_at = tail;
}

static inline const uint8_t *lane_block(struct lane *lane) {
    const uint8_t *block;
    if (lane->first) {
        lane->first = 0;
        block = lane->scratch;
    } else if (lane->middle) {
        lane->middle--;
        block = lane->at;
        lane->at += 64;
    } else {
        lane->tail--;
        block = lane->tail_at;
        lane->tail_at += 64;
    }
    return block;
}

static inline int lane_is_done(const struct lane *lane) {
    return lane->tail == 0; /* the tail comes last */
}

#define LANES 4
#define SUFFIX _4
#define TARGET
#include "lanes.h"

#if defined(__x86_64__)
#define LANES 8
#define SUFFIX _8
#define TARGET __attribute__((target("avx2")))
#include "lanes.h"
#define LANES 16
#define SUFFIX _16
#if defined(__clang__)
#define TARGET __attribute__((target("avx512f,avx512bw"), min_vector_width(512)))
#else
#define TARGET __attribute__((target("avx512f,avx512bw,prefer-vector-width=512")))
#endif
#include "lanes.h"
#endif

static void (*hash_all)(const struct job *, size_t) = hash_all_4;
static int lane_count = 4;

#if defined(__x86_64__)
/* Give the widest lanes that processor and system have registers for: what Intel's manual, volume 1, sections 14.3 and 15.2, asks
 * for. Not __builtin_cpu_supports: some runtimes of Clang answer no to everything. */
static int find_lanes(void) {
    enum { OSXSAVE = 1 << 27, AVX2 = 1 << 5, AVX512F = 1 << 16, AVX512BW = 1 << 30, YMM = 0x06, ZMM = 0xe6 };
    unsigned a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE))
        return 4;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (saved & YMM) != YMM || !(b & AVX2))
        return 4;
    return (saved & ZMM) == ZMM && (b & AVX512F) && (b & AVX512BW) ? 16 : 8;
}
#endif

static void choose_lanes(int most) {
    hash_all = hash_all_4;
    lane_count = 4;
    (void)most;
#if defined(__x86_64__)
    int widest = find_lanes();
    if (most >= 16 && widest == 16) {
        hash_all = hash_all_16;
        lane_count = 16;
    } else if (most >= 8 && widest >= 8) {
        hash_all = hash_all_8;
        lane_count = 8;
    }
#endif
}

/* ---- Rows and trees ---- */

enum { MOST_SHORT_LINE = 65536 };
enum { PAGE_MIN = 4 << 10, PAGE_TARGET = 12 << 10, PAGE_MAX = 64 << 10, SALT = 16 };

static void hash_rows(const uint8_t key[32], const uint8_t *block, const int64_t *ends, size_t count, uint8_t *heads, uint8_t *leaves) {
    /* K and 32 zeros fill the first block of every salt's message: it is hashed once. */
    uint8_t first[64] = {0};
    const uint8_t *blocks[4] = {first, first, first, first};
    vec_4 wide[8];
    uint32_t salted[8];
    memcpy(first, key, 32);
    for (int k = 0; k < 8; k++)
        wide[k] = (vec_4){INITIAL[k], INITIAL[k], INITIAL[k], INITIAL[k]};
    compress_4(wide, blocks);
    for (int k = 0; k < 8; k++)
        salted[k] = wide[k][0];
    enum { HEAD = 2 + SALT };
    for (size_t i = 0; i < count; i++) {
        heads[HEAD * i] = 0x00;
        heads[HEAD * i + 1] = 0x01;
    }
    struct job salts = {.initial = salted, .hashed_before = 64, .data = block, .ends = ends, .out = heads + 2, .out_size = SALT, .out_stride = HEAD};
    hash_all(&salts, count);
    struct job rows = {.initial = INITIAL, .heads = heads, .head_size = HEAD, .head_stride = HEAD, .data = block, .ends = ends, .out = leaves, .out_size = 32, .out_stride = 32};
    hash_all(&rows, count);
}

/* Fold runs of hashes into tree heads: pair i of a level is hashed where both stand, all trees' levels together.
 * `level` is overwritten; the heads stand at its begin afterwards. `pairs` has room for half of the hashes. */
static void fold_trees(uint8_t *level, int64_t *sizes, size_t trees, uint8_t *pairs) {
    static const uint8_t node[1] = {0x01};
    for (;;) {
        size_t more = 0, waiting = 0, from = 0;
        /* Pairs are brought together first: one run of the hash for all trees. */
        for (size_t t = 0; t < trees; t++) {
            size_t n = (size_t)sizes[t] / 2;
            memcpy(pairs + 64 * waiting, level + 32 * from, 64 * n);
            waiting += n;
            from += (size_t)sizes[t];
        }
        if (waiting == 0)
            return;
        struct job job = {.initial = INITIAL, .heads = node, .head_size = 1, .data = pairs, .step = 64, .size = 64, .out = pairs, .out_size = 32, .out_stride = 32};
        hash_all(&job, waiting);
        size_t to = 0, done = 0;
        from = 0;
        for (size_t t = 0; t < trees; t++) {
            size_t n = (size_t)sizes[t], half = n / 2;
            const uint8_t *odd = n % 2 ? level + 32 * (from + n - 1) : NULL;
            /* The level shrinks, so what is written never reaches what is still to be read. */
            memcpy(level + 32 * to, pairs + 32 * done, 32 * half);
            if (odd)
                memmove(level + 32 * (to + half), odd, 32);
            to += half + n % 2;
            done += half;
            from += n;
            sizes[t] = (int64_t)(half + n % 2);
            more |= (size_t)sizes[t] > 1;
        }
        if (!more)
            return;
    }
}

static inline int is_drawn(const uint8_t *leaf, int64_t line_bytes) {
    return (uint64_t)load_be32(leaf) * PAGE_TARGET < (uint64_t)line_bytes << 32;
}

static inline int is_page_end(int64_t page_bytes, int64_t line_bytes, const uint8_t *leaf) {
    return page_bytes >= PAGE_MAX || (page_bytes >= PAGE_MIN && is_drawn(leaf, line_bytes));
}

/* ---- Order of keys ---- */

struct field {
    const uint8_t *at;
    size_t size;
};

/* Find field `column` of a line; a field that is not written is none (at == NULL). */
static inline struct field find_field(const uint8_t *line, const uint8_t *end, int column) {
    struct field field = {NULL, 0};
    for (; column > 0; column--) {
        const uint8_t *tab = memchr(line, '\t', (size_t)(end - line));
        if (!tab)
            return field;
        line = tab + 1;
    }
    const uint8_t *tab = memchr(line, '\t', (size_t)(end - line));
    field.at = line;
    field.size = (size_t)((tab ? tab : end) - line);
    return field;
}

static inline int is_integer(struct field f) {
    const uint8_t *p = f.at, *end = f.at + f.size;
    if (p < end && *p == '-')
        p++;
    if (p == end || (*p == '0' && (end - p > 1 || p != f.at)))
        return 0;
    for (; p < end; p++)
        if (*p < '0' || *p > '9')
            return 0;
    return 1;
}

static inline int compare_bytes(struct field a, struct field b) {
    size_t least = a.size < b.size ? a.size : b.size;
    int order = memcmp(a.at, b.at, least);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* Compare canonical integers of any length: sign, then number of digits, then digits. */
static inline int compare_integers(struct field a, struct field b) {
    int a_negative = *a.at == '-', b_negative = *b.at == '-';
    if (a_negative != b_negative)
        return b_negative - a_negative;
    int order = a.size != b.size ? (a.size > b.size) - (a.size < b.size) : memcmp(a.at, b.at, a.size);
    return a_negative ? -order : order;
}

/* ---- Canonical cells ----
 *
 * Each `is_…` tells whether a field, as it stands on a line, is surely canonical for its kind. No is no refusal: the
 * reference decides then. So these may be too narrow, never too wide.
 */

static inline int is_digit(uint8_t c) {
    return (uint8_t)(c - '0') < 10;
}

static inline int is_low_hex(uint8_t c) {
    return is_digit(c) || (uint8_t)(c - 'a') < 6;
}

/* Take exactly `count` digits; give what follows, or NULL. */
static inline const uint8_t *take_digits(const uint8_t *p, const uint8_t *end, int count) {
    if (!p || end - p < count)
        return NULL;
    for (; count > 0; count--)
        if (!is_digit(*p++))
            return NULL;
    return p;
}

static inline const uint8_t *take_byte(const uint8_t *p, const uint8_t *end, uint8_t c) {
    return p && p < end && *p == c ? p + 1 : NULL;
}

/* YYYY-MM-DD */
static const uint8_t *take_date(const uint8_t *p, const uint8_t *end) {
    p = take_byte(take_digits(p, end, 4), end, '-');
    p = take_byte(take_digits(p, end, 2), end, '-');
    return take_digits(p, end, 2);
}

/* HH:MM:SS and at most nine digits more, the last of which is no zero. */
static const uint8_t *take_clock(const uint8_t *p, const uint8_t *end) {
    p = take_byte(take_digits(p, end, 2), end, ':');
    p = take_byte(take_digits(p, end, 2), end, ':');
    p = take_digits(p, end, 2);
    if (!p || p == end || *p != '.')
        return p;
    const uint8_t *from = ++p;
    while (p < end && is_digit(*p))
        p++;
    return p > from && p - from <= 9 && p[-1] != '0' ? p : NULL;
}

static int is_word(const uint8_t *p, const uint8_t *end, const char *word) {
    size_t size = strlen(word);
    return (size_t)(end - p) == size && memcmp(p, word, size) == 0;
}

static int is_not_finite(const uint8_t *p, const uint8_t *end) {
    return is_word(p, end, "NaN") || is_word(p, end, "Infinity") || is_word(p, end, "-Infinity");
}

/* A date or time that never is, as PostgreSQL writes it. */
static int is_endless(const uint8_t *p, const uint8_t *end) {
    return is_word(p, end, "infinity") || is_word(p, end, "-infinity");
}

/* \@sha256:, 64 digits, :, a size without leading zeros. */
static int is_token(const uint8_t *p, const uint8_t *end) {
    static const char head[] = "\\@sha256:";
    enum { HEAD = sizeof head - 1 };
    if (end - p < HEAD + 66 || end - p > HEAD + 65 + 19 || memcmp(p, head, HEAD) != 0 || p[HEAD + 64] != ':')
        return 0;
    for (int i = 0; i < 64; i++)
        if (!is_low_hex(p[HEAD + i]))
            return 0;
    p += HEAD + 65;
    if (*p == '0' && end - p > 1)
        return 0;
    return take_digits(p, end, (int)(end - p)) == end;
}

static int is_decimal(const uint8_t *p, const uint8_t *end, int64_t scale) {
    if (is_not_finite(p, end))
        return 1;
    const uint8_t *start = p;
    int nonzero = 0;
    if (p < end && *p == '-')
        p++;
    const uint8_t *whole = p;
    for (; p < end && is_digit(*p); p++)
        nonzero |= *p != '0';
    if (p == whole || (*whole == '0' && p - whole > 1))
        return 0;
    int64_t digits = 0;
    if (p < end && *p == '.') {
        const uint8_t *from = ++p;
        for (; p < end && is_digit(*p); p++)
            nonzero |= *p != '0';
        digits = p - from;
        if (digits == 0)
            return 0;
    }
    return p == end && (scale < 0 || digits == scale) && (nonzero || *start != '-');
}

/* A decimal of so few digits that it is the shortest of its value, written without an exponent. */
static int is_short_float(const uint8_t *p, const uint8_t *end, int most) {
    if (p < end && *p == '-')
        p++;
    const uint8_t *whole = p;
    while (p < end && is_digit(*p))
        p++;
    int digits = (int)(p - whole), is_zero = digits == 1 && *whole == '0';
    if (digits == 0 || digits > most || (*whole == '0' && digits > 1))
        return 0;
    if (p == end)
        return 1; /* 0 and -0 as well */
    if (*p++ != '.' || p == end || end[-1] == '0')
        return 0;
    int zeros = 0, more = 0;
    for (; p < end; p++) {
        if (!is_digit(*p))
            return 0;
        if (is_zero && !more && *p == '0')
            zeros++;
        else
            more++;
    }
    /* Below 1e-4 an exponent is written. */
    return is_zero ? zeros < 4 && more <= most : digits + more <= most;
}

/* Digits and exponent of a float as it is spelled canonically: digits of a value without zeros at either end. */
struct spelled {
    char digits[18];
    int count, exponent;
};

/* Read the spelling of a float; tell whether it is laid out as canonical ones are: fixed for exponents of -4 to `fixed` - 1. */
static int read_spelling(const uint8_t *p, const uint8_t *end, int most, int fixed, struct spelled *s) {
    if (p < end && *p == '-')
        p++;
    const uint8_t *whole = p, *point = NULL, *e = NULL;
    for (; p < end; p++) {
        if (*p == '.' && !point && p > whole)
            point = p;
        else if (*p == 'e') {
            e = p;
            break;
        } else if (!is_digit(*p))
            return 0;
    }
    const uint8_t *mantissa_end = p, *whole_end = point ? point : mantissa_end;
    if (whole_end == whole || (whole_end - whole > 1 && *whole == '0') || (point && (mantissa_end - point < 2 || mantissa_end[-1] == '0')))
        return 0;
    int zeros = 0;
    s->count = 0;
    for (const uint8_t *q = whole; q < mantissa_end; q++) {
        if (q == point || (s->count == 0 && *q == '0')) {
            zeros += q != point && q > whole_end;
            continue;
        }
        if (s->count == most)
            return 0; /* with the zeros that end an integer; the reference reads those */
        s->digits[s->count++] = (char)*q;
    }
    if (s->count == 0)
        return 0;
    if (!e) {
        s->exponent = *whole == '0' ? -1 - zeros : (int)(whole_end - whole) - 1;
        while (s->count > 1 && s->digits[s->count - 1] == '0')
            s->count--;
        return s->exponent >= -4 && s->exponent < fixed;
    }
    if (whole_end - whole != 1 || *whole == '0' || end - e < 4 || end - e > 5 || (e[1] != '+' && e[1] != '-'))
        return 0;
    if (!take_digits(e + 2, end, (int)(end - e - 2)) || (end - e == 5 && e[2] == '0'))
        return 0;
    int exponent = 0;
    for (const uint8_t *q = e + 2; q < end; q++)
        exponent = 10 * exponent + (*q - '0');
    s->exponent = e[1] == '-' ? -exponent : exponent;
    return s->exponent < -4 || s->exponent >= fixed;
}

/* Tell whether the `count` digits that are nearest to x are these. */
static int are_nearest(double x, const struct spelled *s) {
    char text[40];
    snprintf(text, sizeof text, "%.*e", s->count - 1, x);
    const char *e = strchr(text, 'e');
    if (!e || atoi(e + 1) != s->exponent || text[0] != s->digits[0])
        return 0;
    return s->count == 1 || memcmp(text + 2, s->digits + 1, (size_t)s->count - 1) == 0;
}

/* Tell whether a float is surely the shortest of its value, strictly inside of what rounds to it, and nearest.
 * Powers of two, whose neighbours are unequally far, and the smallest values are left to the reference. */
static int is_float(const uint8_t *p, const uint8_t *end, int single) {
    char text[40], shorter[40];
    struct spelled s;
    if (is_short_float(p, end, single ? 6 : 15) || is_not_finite(p, end))
        return 1;
    if (end - p > 32 || !read_spelling(p, end, single ? 9 : 17, single ? 6 : 15, &s))
        return 0;
    if (*p == '-')
        p++;
    memcpy(text, p, (size_t)(end - p));
    text[end - p] = 0;
    double near = strtod(text, NULL), x = single ? (double)(float)near : near;
    int power;
    if (!(x > (single ? 1e-37 : 1e-290)) || isinf(x) || frexp(x, &power) == 0.5)
        return 0;
    /* No decimal on the border of what rounds to x: compared where the border can be written down. */
    if (single) {
        if (near == (x + (double)nextafterf((float)x, INFINITY)) / 2 || near == (x + (double)nextafterf((float)x, 0)) / 2)
            return 0;
    } else if (x >= 9007199254740992.0 && x < 1e41) {
#if LDBL_MANT_DIG >= 64
        long double exact = strtold(text, NULL), twice = 2 * exact, own = x;
        if (twice == own + nextafter(x, INFINITY) || twice == own + nextafter(x, 0))
            return 0;
#else
        return 0;
#endif
    }
    if (!are_nearest(x, &s))
        return 0;
    if (s.count == 1)
        return 1;
    snprintf(shorter, sizeof shorter, "%.*e", s.count - 2, x);
    return single ? strtof(shorter, NULL) != (float)x : strtod(shorter, NULL) != x;
}

/* UTF-8 without what must be escaped; with `raw` any bytes. Escapes are those of the line. */
static int is_text(const uint8_t *p, const uint8_t *end, int raw) {
    while (p < end) {
        uint8_t c = *p;
        if (c == '\\') {
            if (end - p < 2 || !p[1] || !strchr("\\bfnrtv0", p[1]))
                return 0;
            p += 2;
        } else if (c < 0x80) {
            if (c == 0 || (uint8_t)(c - 8) < 6)
                return 0;
            p++;
        } else if (raw) {
            p++;
        } else if ((c & 0xe0) == 0xc0) {
            if (c < 0xc2 || end - p < 2 || (p[1] & 0xc0) != 0x80)
                return 0;
            p += 2;
        } else if ((c & 0xf0) == 0xe0) {
            if (end - p < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
                return 0;
            /* Neither longer than needed nor a surrogate. */
            if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f))
                return 0;
            p += 3;
        } else if ((c & 0xf8) == 0xf0) {
            if (end - p < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
                return 0;
            if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f) || c > 0xf4)
                return 0;
            p += 4;
        } else {
            return 0;
        }
    }
    return 1;
}

/* \\x and pairs of lower-case digits. */
static int is_hex(const uint8_t *p, const uint8_t *end) {
    if (end - p < 3 || p[0] != '\\' || p[1] != '\\' || p[2] != 'x' || (end - p) % 2 != 1)
        return 0;
    for (p += 3; p < end; p++)
        if (!is_low_hex(*p))
            return 0;
    return 1;
}

static int is_uuid(const uint8_t *p, const uint8_t *end) {
    if (end - p != 36)
        return 0;
    for (int i = 0; i < 36; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? p[i] != '-' : !is_low_hex(p[i]))
            return 0;
    return 1;
}

static int is_any(const uint8_t *p, const uint8_t *end) {
    if (end - p < 2 || p[1] != ':')
        return 0;
    struct field inner = {p + 2, (size_t)(end - p - 2)};
    switch (p[0]) {
    case 'i': return is_integer(inner);
    case 'r': return is_float(p + 2, end, 0);
    case 't': return is_text(p + 2, end, 0) || is_token(p + 2, end);
    case 'b': return is_hex(p + 2, end) || is_token(p + 2, end);
    default: return 0;
    }
}

/* Tell whether a field is surely canonical for a kind; the letters are those of `evidence.rows.check`. */
static int is_canonical(uint8_t kind, int64_t scale, const uint8_t *p, const uint8_t *end) {
    const uint8_t *after;
    if (p < end && *p == '\\' && kind != 'a' && is_token(p, end))
        return kind != '?';
    switch (kind) {
    case 'b': return end - p == 1 && (*p == 't' || *p == 'f');
    case 'i': return is_integer((struct field){p, (size_t)(end - p)});
    case 'd': return is_decimal(p, end, scale);
    case 'f': return is_float(p, end, 0);
    case 'g': return is_float(p, end, 1);
    case 't': return is_text(p, end, 0);
    case 'r': return is_text(p, end, 1);
    case 'x': return is_hex(p, end);
    case '0':
        for (; p < end; p++)
            if (*p != '0' && *p != '1')
                return 0;
        return 1;
    case 'D': return take_date(p, end) == end || is_endless(p, end);
    case 'T': return take_clock(p, end) == end;
    case 's': return take_clock(take_byte(take_date(p, end), end, ' '), end) == end || is_endless(p, end);
    case 'o':
        after = take_clock(take_byte(take_date(p, end), end, ' '), end);
        if (!after || after == end || (*after != '+' && *after != '-'))
            return 0;
        return take_digits(take_byte(take_digits(after + 1, end, 2), end, ':'), end, 2) == end;
    case 'z':
        if (is_endless(p, end))
            return 1;
        after = take_clock(take_byte(take_date(p, end), end, ' '), end);
        return after && end - after == 3 && memcmp(after, "+00", 3) == 0;
    case 'u': return is_uuid(p, end);
    case 'a': return is_any(p, end);
    default: return 0;
    }
}

/* Tell whether a line is surely the one spelling of a row of these columns. */
static int is_sound(const uint8_t *line, const uint8_t *end, const uint8_t *kinds, const int64_t *scales, size_t columns) {
    if (end - line > MOST_SHORT_LINE)
        return 0; /* it may hold a cell that must be a token */
    for (size_t i = 0; i < columns; i++) {
        const uint8_t *tab = memchr(line, '\t', (size_t)(end - line)), *stop = tab ? tab : end;
        int is_null = stop - line == 2 && line[0] == '\\' && line[1] == 'N';
        if (is_null ? i > 0 && !tab : !is_canonical(kinds[i], scales[i], line, stop))
            return 0;
        if (!tab)
            return 1;
        line = tab + 1;
    }
    return 0;
}

/* ---- Python ---- */

static int get_buffer(PyObject *object, Py_buffer *view, const char *what, Py_ssize_t multiple) {
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0)
        return -1;
    if (view->len % multiple == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes, not a multiple of %zd", what, view->len, multiple);
    PyBuffer_Release(view);
    return -1;
}

/* Check that ends ascend strictly within a block and each has its LF: nothing is read outside of the block. */
static int are_ends(const int64_t *ends, size_t count, const uint8_t *block, Py_ssize_t size) {
    int64_t before = 0;
    for (size_t i = 0; i < count; i++) {
        if (ends[i] <= before || ends[i] > size || (block && block[ends[i] - 1] != '\n'))
            return 0;
        before = ends[i];
    }
    return 1;
}

PyDoc_STRVAR(commit_lines_doc, "commit_lines(key: bytes, block: bytes) -> tuple[bytes, bytes]\n\nGive ends (i64 each) and leaves (32 bytes each).");

static PyObject *commit_lines(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *key_object, *block_object, *ends = NULL, *leaves = NULL, *result = NULL;
    Py_buffer key, block;
    if (!PyArg_ParseTuple(args, "OO", &key_object, &block_object))
        return NULL;
    if (get_buffer(key_object, &key, "the key", 1) < 0)
        return NULL;
    if (get_buffer(block_object, &block, "the block", 1) < 0) {
        PyBuffer_Release(&key);
        return NULL;
    }
    const uint8_t *data = block.buf;
    size_t count = 0;
    if (key.len != 32 || (block.len && data[block.len - 1] != '\n')) {
        PyErr_SetString(PyExc_ValueError, key.len != 32 ? "K has 32 bytes" : "a block ends with LF");
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < block.len; i++)
        count += data[i] == '\n';
    Py_END_ALLOW_THREADS
    ends = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(8 * count));
    leaves = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(32 * count));
    uint8_t *heads = malloc(18 * count + 1);
    if (ends && leaves && heads) {
        int64_t *end = (int64_t *)PyBytes_AsString(ends);
        uint8_t *leaf = (uint8_t *)PyBytes_AsString(leaves);
        Py_BEGIN_ALLOW_THREADS
        const uint8_t *at = data, *last = data + block.len;
        for (size_t i = 0; i < count; i++) {
            at = (const uint8_t *)memchr(at, '\n', (size_t)(last - at)) + 1;
            end[i] = at - data;
        }
        hash_rows(key.buf, data, end, count, heads, leaf);
        Py_END_ALLOW_THREADS
        result = PyTuple_Pack(2, ends, leaves);
    } else if (!heads) {
        PyErr_NoMemory();
    }
    free(heads);
done:
    Py_XDECREF(ends);
    Py_XDECREF(leaves);
    PyBuffer_Release(&key);
    PyBuffer_Release(&block);
    return result;
}

PyDoc_STRVAR(tree_heads_doc, "tree_heads(hashes: bytes, counts: Buffer[i64]) -> bytes\n\nFold consecutive runs of hashes into tree heads.");

static PyObject *tree_heads(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *hashes_object, *counts_object, *result = NULL;
    Py_buffer hashes, counts;
    if (!PyArg_ParseTuple(args, "OO", &hashes_object, &counts_object))
        return NULL;
    if (get_buffer(hashes_object, &hashes, "the hashes", 32) < 0)
        return NULL;
    if (get_buffer(counts_object, &counts, "the counts", 8) < 0) {
        PyBuffer_Release(&hashes);
        return NULL;
    }
    size_t trees = (size_t)counts.len / 8, total = 0, have = (size_t)hashes.len / 32;
    const int64_t *count = counts.buf;
    for (size_t t = 0; t < trees; t++) {
        if (count[t] < 1 || (size_t)count[t] > have - total) {
            PyErr_SetString(PyExc_ValueError, "each tree has a leaf, and all together not more than there are hashes");
            goto done;
        }
        total += (size_t)count[t];
    }
    uint8_t *level = malloc(32 * total + 1), *pairs = malloc(32 * total + 1);
    int64_t *sizes = malloc(8 * trees + 1);
    if (level && pairs && sizes) {
        Py_BEGIN_ALLOW_THREADS
        memcpy(level, hashes.buf, 32 * total);
        memcpy(sizes, counts.buf, 8 * trees);
        fold_trees(level, sizes, trees, pairs);
        Py_END_ALLOW_THREADS
        result = PyBytes_FromStringAndSize((const char *)level, (Py_ssize_t)(32 * trees));
    } else {
        PyErr_NoMemory();
    }
    free(level);
    free(pairs);
    free(sizes);
done:
    PyBuffer_Release(&hashes);
    PyBuffer_Release(&counts);
    return result;
}

/* Get ends (i64 each) and as many leaves. */
static int get_rows(PyObject *ends_object, PyObject *hashes_object, Py_buffer *ends, Py_buffer *hashes) {
    if (get_buffer(ends_object, ends, "the ends", 8) < 0)
        return -1;
    if (get_buffer(hashes_object, hashes, "the hashes", 32) < 0) {
        PyBuffer_Release(ends);
        return -1;
    }
    if (ends->len / 8 == hashes->len / 32 && are_ends(ends->buf, (size_t)ends->len / 8, NULL, PY_SSIZE_T_MAX))
        return 0;
    PyErr_SetString(PyExc_ValueError, "ends ascend, and there are as many as leaves");
    PyBuffer_Release(ends);
    PyBuffer_Release(hashes);
    return -1;
}

static int append_number(PyObject *list, size_t number) {
    PyObject *value = PyLong_FromSize_t(number);
    int failed = value == NULL || PyList_Append(list, value) < 0;
    Py_XDECREF(value);
    return failed;
}

PyDoc_STRVAR(find_page_ends_doc, "find_page_ends(ends: Buffer[i64], hashes: bytes, open_bytes: int) -> list[int]\n\nGive the rows after which a page ends.");

static PyObject *find_page_ends(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *ends_object, *hashes_object;
    Py_ssize_t open_bytes;
    Py_buffer ends, hashes;
    if (!PyArg_ParseTuple(args, "OOn", &ends_object, &hashes_object, &open_bytes) ||
        get_rows(ends_object, hashes_object, &ends, &hashes) < 0)
        return NULL;
    PyObject *cuts = PyList_New(0);
    const int64_t *end = ends.buf;
    const uint8_t *leaf = hashes.buf;
    int64_t start = -(int64_t)open_bytes, before = 0;
    for (size_t i = 0, count = (size_t)ends.len / 8; cuts && i < count; i++) {
        if (is_page_end(end[i] - start, end[i] - before, leaf + 32 * i)) {
            start = end[i];
            if (append_number(cuts, i))
                Py_CLEAR(cuts);
        }
        before = end[i];
    }
    PyBuffer_Release(&ends);
    PyBuffer_Release(&hashes);
    return cuts;
}

PyDoc_STRVAR(judge_page_ends_doc, "judge_page_ends(ends: Buffer[i64], hashes: bytes, counts: Buffer[i64]) -> bytes\n\nGive a byte for each page: bit 0 it goes on after an end, bit 1 it ends by the rule.");

static PyObject *judge_page_ends(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *ends_object, *hashes_object, *counts_object, *result = NULL;
    Py_buffer ends, hashes, counts;
    if (!PyArg_ParseTuple(args, "OOO", &ends_object, &hashes_object, &counts_object) ||
        get_rows(ends_object, hashes_object, &ends, &hashes) < 0)
        return NULL;
    if (get_buffer(counts_object, &counts, "the counts", 8) < 0)
        goto release;
    size_t pages = (size_t)counts.len / 8, row = 0, have = (size_t)ends.len / 8;
    const int64_t *end = ends.buf, *count = counts.buf;
    const uint8_t *leaf = hashes.buf;
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)pages);
    uint8_t *verdict = result ? (uint8_t *)PyBytes_AsString(result) : NULL;
    int64_t start = 0, before = 0;
    for (size_t p = 0; result && p < pages; p++) {
        if (count[p] < 1 || (size_t)count[p] > have - row) {
            PyErr_SetString(PyExc_ValueError, "each page has a row, and all together not more than there are");
            Py_CLEAR(result);
            break;
        }
        verdict[p] = 0;
        for (int64_t k = 1; k <= count[p]; k++, row++) {
            if (is_page_end(end[row] - start, end[row] - before, leaf + 32 * row))
                verdict[p] |= k == count[p] ? 2 : 1;
            before = end[row];
        }
        start = before;
    }
    PyBuffer_Release(&counts);
release:
    PyBuffer_Release(&ends);
    PyBuffer_Release(&hashes);
    return result;
}

PyDoc_STRVAR(find_disorder_doc, "find_disorder(block: bytes, ends: Buffer[i64], columns: bytes, integers: bytes) -> list[int] | None\n\nGive the rows whose key does not follow the one before; None: ask the reference.");

enum { MOST_KEYS = 16, MOST_KEY_DIGITS = 4000 }; /* longer integers are not Python's, nor the reference's */

/* Read the key of a line; tell whether it can be compared here: written, not NULL, without an escape, canonical. */
static int read_key(const uint8_t *line, const uint8_t *end, const uint8_t *columns, const uint8_t *integers, size_t keys, struct field *key) {
    for (size_t k = 0; k < keys; k++) {
        key[k] = find_field(line, end, columns[k]);
        if (!key[k].at)
            return 0;
        if (integers[k] ? key[k].size > MOST_KEY_DIGITS || !is_integer(key[k]) : memchr(key[k].at, '\\', key[k].size) != NULL)
            return 0;
    }
    return 1;
}

static PyObject *find_disorder(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *block_object, *ends_object, *found = NULL;
    const char *columns, *integers;
    Py_ssize_t keys, kinds;
    Py_buffer block, ends;
    if (!PyArg_ParseTuple(args, "OOy#y#", &block_object, &ends_object, &columns, &keys, &integers, &kinds))
        return NULL;
    if (get_buffer(block_object, &block, "the block", 1) < 0)
        return NULL;
    if (get_buffer(ends_object, &ends, "the ends", 8) < 0) {
        PyBuffer_Release(&block);
        return NULL;
    }
    const uint8_t *data = block.buf;
    const int64_t *end = ends.buf;
    size_t count = (size_t)ends.len / 8, broken = 0;
    uint8_t *flags = NULL;
    if (keys != kinds || keys > MOST_KEYS || !are_ends(end, count, data, block.len)) {
        PyErr_SetString(PyExc_ValueError, "at most 16 key columns, a kind for each, and ends of lines of the block");
        goto done;
    }
    flags = calloc(count + 1, 1);
    if (!flags) {
        PyErr_NoMemory();
        goto done;
    }
    int can_tell = 1;
    Py_BEGIN_ALLOW_THREADS
    struct field two[2][MOST_KEYS];
    for (size_t i = 0; i < count && can_tell; i++) {
        struct field *key = two[i & 1], *before = two[~i & 1];
        const uint8_t *line = data + (i ? end[i - 1] : 0), *last = data + end[i] - 1;
        if (keys == 0)
            key[0] = (struct field){line, (size_t)(last - line)};
        else if (!read_key(line, last, (const uint8_t *)columns, (const uint8_t *)integers, (size_t)keys, key))
            can_tell = 0;
        if (i == 0 || !can_tell)
            continue;
        int order = 0;
        if (keys == 0)
            order = compare_bytes(before[0], key[0]);
        for (Py_ssize_t k = 0; k < keys && order == 0; k++)
            order = integers[k] ? compare_integers(before[k], key[k]) : compare_bytes(before[k], key[k]);
        flags[i] = keys ? order >= 0 : order > 0;
        broken += flags[i];
    }
    Py_END_ALLOW_THREADS
    if (!can_tell) {
        found = Py_None;
        Py_INCREF(found);
        goto done;
    }
    found = PyList_New(0);
    for (size_t i = 0; found && broken && i < count; i++)
        if (flags[i] && append_number(found, i))
            Py_CLEAR(found);
done:
    free(flags);
    PyBuffer_Release(&block);
    PyBuffer_Release(&ends);
    return found;
}

PyDoc_STRVAR(find_doubtful_doc, "find_doubtful(block: bytes, ends: Buffer[i64], kinds: bytes, scales: Buffer[i64]) -> list[int]\n\nGive the lines that are not surely canonical.");

static PyObject *find_doubtful(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *block_object, *ends_object, *scales_object, *found = NULL;
    const char *kinds;
    Py_ssize_t columns;
    Py_buffer block, ends, scales;
    if (!PyArg_ParseTuple(args, "OOy#O", &block_object, &ends_object, &kinds, &columns, &scales_object))
        return NULL;
    if (get_buffer(block_object, &block, "the block", 1) < 0)
        return NULL;
    if (get_buffer(ends_object, &ends, "the ends", 8) < 0)
        goto release_block;
    if (get_buffer(scales_object, &scales, "the scales", 8) < 0)
        goto release_ends;
    const uint8_t *data = block.buf;
    const int64_t *end = ends.buf;
    size_t count = (size_t)ends.len / 8, doubtful = 0;
    uint8_t *flags = NULL;
    if (scales.len / 8 != columns || !are_ends(end, count, data, block.len)) {
        PyErr_SetString(PyExc_ValueError, "a scale for each column, and ends of lines of the block");
        goto done;
    }
    flags = calloc(count + 1, 1);
    if (!flags) {
        PyErr_NoMemory();
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    for (size_t i = 0; i < count; i++) {
        flags[i] = !is_sound(data + (i ? end[i - 1] : 0), data + end[i] - 1, (const uint8_t *)kinds, scales.buf, (size_t)columns);
        doubtful += flags[i];
    }
    Py_END_ALLOW_THREADS
    found = PyList_New(0);
    for (size_t i = 0; found && doubtful && i < count; i++)
        if (flags[i] && append_number(found, i))
            Py_CLEAR(found);
done:
    free(flags);
    PyBuffer_Release(&scales);
release_ends:
    PyBuffer_Release(&ends);
release_block:
    PyBuffer_Release(&block);
    return found;
}

PyDoc_STRVAR(leaf_hashes_doc, "leaf_hashes(data: bytes, size: int) -> bytes\n\nGive the leaf hash of each `size` bytes of data.");

static PyObject *leaf_hashes(PyObject *Py_UNUSED(module), PyObject *args) {
    static const uint8_t head[1] = {0x00};
    PyObject *data_object, *result = NULL;
    Py_ssize_t size;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "On", &data_object, &size))
        return NULL;
    if (size < 1) {
        PyErr_SetString(PyExc_ValueError, "an entry has at least one byte");
        return NULL;
    }
    if (get_buffer(data_object, &data, "the data", size) < 0)
        return NULL;
    size_t count = (size_t)(data.len / size);
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(32 * count));
    if (result) {
        struct job job = {.initial = INITIAL, .heads = head, .head_size = 1, .data = data.buf, .step = (size_t)size, .size = (size_t)size, .out = (uint8_t *)PyBytes_AsString(result), .out_size = 32, .out_stride = 32};
        Py_BEGIN_ALLOW_THREADS
        hash_all(&job, count);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    return result;
}

PyDoc_STRVAR(strip_nulls_doc, "strip_nulls(block: bytes) -> bytes\n\nTake the NULLs from the ends of lines; the first field stays.");

/* Give where a line ends without the NULLs at its end. */
static inline const uint8_t *before_nulls(const uint8_t *line, const uint8_t *end) {
    while (end - line >= 3 && end[-1] == 'N' && end[-2] == '\\' && end[-3] == '\t')
        end -= 3;
    return end;
}

static PyObject *strip_nulls(PyObject *Py_UNUSED(module), PyObject *object) {
    Py_buffer block;
    PyObject *result = NULL;
    if (get_buffer(object, &block, "the block", 1) < 0)
        return NULL;
    const uint8_t *data = block.buf, *last = data + block.len, *kept = data;
    uint8_t *text = NULL, *to = NULL;
    if (block.len && last[-1] != '\n') {
        PyErr_SetString(PyExc_ValueError, "a block ends with LF");
        goto done;
    }
    int failed = 0;
    Py_BEGIN_ALLOW_THREADS
    for (const uint8_t *line = data; line < last && !failed;) {
        const uint8_t *end = memchr(line, '\n', (size_t)(last - line)), *cut = before_nulls(line, end);
        if (cut != end) {
            if (!text)
                to = text = malloc((size_t)block.len);
            failed = text == NULL;
            if (!failed) {
                memcpy(to, kept, (size_t)(cut - kept));
                to += cut - kept;
                kept = end;
            }
        }
        line = end + 1;
    }
    if (text) {
        memcpy(to, kept, (size_t)(last - kept));
        to += last - kept;
    }
    Py_END_ALLOW_THREADS
    if (failed) {
        PyErr_NoMemory();
    } else if (text) {
        result = PyBytes_FromStringAndSize((const char *)text, to - text);
    } else {
        result = object;
        Py_INCREF(result);
    }
done:
    free(text);
    PyBuffer_Release(&block);
    return result;
}

PyDoc_STRVAR(encode_rows_doc, "encode_rows(rows: list[Sequence[bytes | None]]) -> bytes\n\nWrite rows as lines.");

struct text {
    uint8_t *at;
    size_t size, room;
};

static int text_reserve(struct text *text, size_t more) {
    if (text->room - text->size >= more)
        return 0;
    size_t room = 2 * text->room + more + 4096;
    uint8_t *at = realloc(text->at, room);
    if (!at) {
        PyErr_NoMemory();
        return -1;
    }
    text->at = at;
    text->room = room;
    return 0;
}

static inline int needs_escape(uint8_t c) {
    return (c == 0) | ((uint8_t)(c - 8) < 6) | (c == '\\');
}

static inline void text_put_cell(struct text *text, const uint8_t *cell, size_t size) {
    static const char letters[] = "btnvfr"; /* of bytes 8 to 13 */
    unsigned special = 0;
    for (size_t i = 0; i < size; i++)
        special |= (unsigned)needs_escape(cell[i]);
    uint8_t *to = text->at + text->size;
    if (!special) {
        memcpy(to, cell, size);
        text->size += size;
        return;
    }
    for (size_t i = 0; i < size; i++) {
        uint8_t c = cell[i];
        if (needs_escape(c)) {
            *to++ = '\\';
            c = c == 0 ? '0' : c == '\\' ? '\\' : (uint8_t)letters[c - 8];
        }
        *to++ = c;
    }
    text->size = (size_t)(to - text->at);
}

static int text_put_row(struct text *text, PyObject *row) {
    PyObject *cells = PyTuple_Check(row) ? row : PySequence_Tuple(row);
    if (cells == NULL)
        return -1;
    if (cells == row)
        Py_INCREF(cells);
    Py_ssize_t count = PyTuple_Size(cells);
    size_t written = text->size; /* the end of the last field that must be written */
    int failed = count == 0;
    if (failed)
        PyErr_SetString(PyExc_ValueError, "a row has at least one cell");
    for (Py_ssize_t i = 0; i < count && !failed; i++) {
        PyObject *cell = PyTuple_GetItem(cells, i);
        char *bytes = "";
        Py_ssize_t size = 0;
        failed = (cell != Py_None && PyBytes_AsStringAndSize(cell, &bytes, &size) < 0) || text_reserve(text, 2 * (size_t)size + 4) < 0;
        if (failed)
            break;
        if (i)
            text->at[text->size++] = '\t';
        if (cell == Py_None) {
            text->at[text->size++] = '\\';
            text->at[text->size++] = 'N';
        } else {
            text_put_cell(text, (const uint8_t *)bytes, (size_t)size);
        }
        if (i == 0 || cell != Py_None)
            written = text->size;
    }
    Py_DECREF(cells);
    if (failed)
        return -1;
    text->size = written;
    text->at[text->size++] = '\n';
    return 0;
}

static PyObject *encode_rows(PyObject *Py_UNUSED(module), PyObject *rows) {
    struct text text = {NULL, 0, 0};
    PyObject *result = NULL, *row, *iterator = PyObject_GetIter(rows);
    if (!iterator)
        return NULL;
    int failed = 0;
    while (!failed && (row = PyIter_Next(iterator)) != NULL) {
        failed = text_put_row(&text, row);
        Py_DECREF(row);
    }
    Py_DECREF(iterator);
    if (!failed && !PyErr_Occurred())
        result = PyBytes_FromStringAndSize(text.at ? (const char *)text.at : "", (Py_ssize_t)text.size);
    free(text.at);
    return result;
}

PyDoc_STRVAR(use_lanes_doc, "use_lanes(most: int) -> int\n\nUse registers of at most so many lanes (4, 8, 16); give how many are used.");

static PyObject *use_lanes(PyObject *Py_UNUSED(module), PyObject *most) {
    long lanes = PyLong_AsLong(most);
    if (lanes == -1 && PyErr_Occurred())
        return NULL;
    choose_lanes((int)lanes);
    return PyLong_FromLong(lane_count);
}

static PyMethodDef functions[] = {
    {"commit_lines", commit_lines, METH_VARARGS, commit_lines_doc},
    {"tree_heads", tree_heads, METH_VARARGS, tree_heads_doc},
    {"find_page_ends", find_page_ends, METH_VARARGS, find_page_ends_doc},
    {"judge_page_ends", judge_page_ends, METH_VARARGS, judge_page_ends_doc},
    {"find_disorder", find_disorder, METH_VARARGS, find_disorder_doc},
    {"find_doubtful", find_doubtful, METH_VARARGS, find_doubtful_doc},
    {"leaf_hashes", leaf_hashes, METH_VARARGS, leaf_hashes_doc},
    {"strip_nulls", strip_nulls, METH_O, strip_nulls_doc},
    {"encode_rows", encode_rows, METH_O, encode_rows_doc},
    {"use_lanes", use_lanes, METH_O, use_lanes_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_kernel", .m_doc = "What is done for every row; see evidence.kernel.", .m_size = -1, .m_methods = functions,
};

PyMODINIT_FUNC PyInit__kernel(void) {
    choose_lanes(16);
    return PyModule_Create(&module);
}
