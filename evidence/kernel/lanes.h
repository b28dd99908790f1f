/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 over many messages side by side, one message in each 32-bit lane of a vector register. No Python, no memory.
 *
 * Included once for each width: LANES (a power of two), SUFFIX (of the names below), TARGET (the function attribute that
 * lets the compiler use registers so wide). Vectors are the compiler's own (GCC, Clang), so that one text serves
 * AVX-512, AVX2, SSE2 and NEON. A lane that has finished a message takes the next one at once: lengths may differ.
 * Source: FIPS 180-4 sections 4.1.2, 5.1.1, 6.2.
 */

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define NAME(x) PASTE(x, SUFFIX)

typedef uint32_t NAME(vec) __attribute__((vector_size(4 * LANES)));

#define ROTATE(x, n) (((x) >> (n)) | ((x) << (32 - (n))))

/* Hash one block of 64 bytes in each lane. */
TARGET static void NAME(compress)(NAME(vec) state[8], const uint8_t *const blocks[LANES]) {
    uint32_t words[16][LANES] __attribute__((aligned(4 * LANES)));
    for (int lane = 0; lane < LANES; lane++)
        for (int t = 0; t < 16; t++)
            words[t][lane] = load_be32(blocks[lane] + 4 * t);
    NAME(vec) w[16];
    memcpy(w, words, sizeof w);
    NAME(vec) a = state[0], b = state[1], c = state[2], d = state[3];
    NAME(vec) e = state[4], f = state[5], g = state[6], h = state[7];
#pragma GCC unroll 64
    for (int t = 0; t < 64; t++) {
        if (t >= 16) {
            NAME(vec) x = w[(t + 1) & 15], y = w[(t + 14) & 15];
            w[t & 15] += (ROTATE(x, 7) ^ ROTATE(x, 18) ^ (x >> 3)) + w[(t + 9) & 15] +
                         (ROTATE(y, 17) ^ ROTATE(y, 19) ^ (y >> 10));
        }
        NAME(vec) t1 = h + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + (g ^ (e & (f ^ g))) + ROUND_CONSTANTS[t] + w[t & 15];
        NAME(vec) t2 = (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + ((a & b) | (c & (a | b)));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

/* Hash messages [0, count) of `job`. */
TARGET static void NAME(hash_all)(const struct job *job, size_t count) {
    uint32_t states[8][LANES] __attribute__((aligned(4 * LANES)));
    struct lane lanes[LANES];
    const uint8_t *blocks[LANES];
    size_t next = 0;
    int busy = 0;
    for (int i = 0; i < LANES; i++) {
        lanes[i].number = IDLE;
        blocks[i] = ZEROS;
    }
    for (;;) {
        for (int i = 0; i < LANES; i++) {
            struct lane *lane = &lanes[i];
            if (lane->number == IDLE) {
                if (next == count)
                    continue;
                lane_begin(lane, job, next++);
                for (int k = 0; k < 8; k++)
                    states[k][i] = job->initial[k];
                busy++;
            }
            blocks[i] = lane_block(lane);
        }
        if (busy == 0)
            return;
        NAME(vec) state[8];
        memcpy(state, states, sizeof state);
        NAME(compress)(state, blocks);
        memcpy(states, state, sizeof state);
        for (int i = 0; i < LANES; i++) {
            struct lane *lane = &lanes[i];
            if (lane->number == IDLE || !lane_is_done(lane))
                continue;
            uint8_t digest[32];
            for (int k = 0; k < 8; k++)
                store_be32(digest + 4 * k, states[k][i]);
            memcpy(job->out + lane->number * job->out_stride, digest, job->out_size);
            lane->number = IDLE;
            blocks[i] = ZEROS;
            busy--;
        }
    }
}

#undef ROTATE
#undef NAME
#undef PASTE
#undef PASTE2
#undef LANES
#undef SUFFIX
#undef TARGET
