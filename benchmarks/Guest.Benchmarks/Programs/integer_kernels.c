/* Kernels of integer code, branches and calls. */
#include "linux.h"

u64 run_integer(u64 n)
{
    u64 x = 0x123456789abcdef1ul, sum = 0, difference = 0;
    for (u64 i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        sum += x;
        difference -= sum + x * 2 + 5;
    }
    return mix(sum, difference);
}

/* Branches that no predictor foresees. */
u64 run_branchy(u64 n)
{
    u32 x = 12345;
    i64 up = 0, down = 0;
    for (u64 i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        if (x & 0x00100000) {
            up++;
            asm volatile("");
        }
        if (x & 0x04000000) {
            down -= 5;
            asm volatile("");
        } else {
            down += 3;
            asm volatile("" ::: "memory");
        }
        if (down > 1000) {
            down = -down;
            asm volatile("");
        }
    }
    return mix((u64)up, (u64)down);
}

u64 run_sieve(u64 n)
{
    enum { LIMIT = 200000 };
    static u8 composite[LIMIT];
    u64 count = 0;
    while (n--) {
        for (u32 i = 0; i < LIMIT; i++)
            composite[i] = 0;
        for (u32 i = 2; i < LIMIT; i++) {
            if (composite[i])
                continue;
            count++;
            for (u64 j = (u64)i * i; j < LIMIT; j += i)
                composite[j] = 1;
        }
    }
    return count;
}

static u8 text[1 << 16];

static void fill_text(void)
{
    u64 state = 42;
    for (u64 i = 0; i < sizeof text; i++)
        text[i] = (u8)(next_random(&state) | 1);
}

u64 run_crc(u64 n)
{
    u32 table[256], crc = 0;
    for (u32 i = 0; i < 256; i++) {
        u32 c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320 ^ c >> 1 : c >> 1;
        table[i] = c;
    }
    fill_text();
    while (n--) {
        crc = ~crc;
        for (u64 i = 0; i < sizeof text; i++)
            crc = table[(u8)(crc ^ text[i])] ^ crc >> 8;
        crc = ~crc;
    }
    return crc;
}

/* A multiplying hash over eight bytes at a time. */
u64 run_hash(u64 n)
{
    u64 hash = 0;
    fill_text();
    while (n--) {
        const u64 *words = (const u64 *)text;
        for (u64 i = 0; i < sizeof text / 8; i++) {
            u64 word = words[i] * 0x87c37b91114253d5ul;
            hash ^= word << 31 | word >> 33;
            hash = (hash << 27 | hash >> 37) * 5 + 0x52dce729;
        }
    }
    return hash;
}

__attribute__((noinline, noclone, optimize("no-optimize-sibling-calls"))) static u64 fibonacci(u64 n)
{
    asm volatile("" : "+r"(n));
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

u64 run_calls(u64 n)
{
    u64 sum = 0;
    while (n--)
        sum += fibonacci(24);
    return sum;
}

/* A byte-code machine: an indirect jump for every operation. */
u64 run_switch(u64 n)
{
    enum { LENGTH = 1024 };
    static u8 program[LENGTH];
    u64 state = 7, a = 1, b = 2, c = 3;
    for (u64 i = 0; i < LENGTH; i++)
        program[i] = (u8)(next_random(&state) % 12);
    while (n--)
        for (u64 i = 0; i < LENGTH; i++)
            switch (program[i]) {
            case 0: a += b; break;
            case 1: b ^= c; break;
            case 2: c -= a; break;
            case 3: a = a << 3 | a >> 61; break;
            case 4: b = b * 5 + 1; break;
            case 5: c ^= a >> 7; break;
            case 6: a ^= 0x55; break;
            case 7: b += c & 0xff; break;
            case 8: c = ~c; break;
            case 9: a -= c >> 3; break;
            case 10: b = b >> 1 | b << 63; break;
            default: c += 0x1234567; break;
            }
    return mix(mix(a, b), c);
}

typedef u64 operation(u64);
__attribute__((noinline)) static u64 op_add(u64 x) { return x + 0x1357; }
__attribute__((noinline)) static u64 op_xor(u64 x) { return x ^ 0x5a5a5a; }
__attribute__((noinline)) static u64 op_mul(u64 x) { return x * 13; }
__attribute__((noinline)) static u64 op_rot(u64 x) { return x << 9 | x >> 55; }

u64 run_indirect(u64 n)
{
    operation *volatile operations[4] = { op_add, op_xor, op_mul, op_rot };
    u64 x = 1;
    for (u64 i = 0; i < n; i++)
        x = operations[(x >> 5 ^ i) & 3](x);
    return x;
}

/* Population counts, reversals and scans by shifts and masks, and by the processor's bit scans. */
u64 run_bits(u64 n)
{
    u64 state = 99, sum = 0;
    for (u64 i = 0; i < n; i++) {
        u64 x = next_random(&state) | 1ul << 40;
        u64 v = x - (x >> 1 & 0x5555555555555555ul);
        v = (v & 0x3333333333333333ul) + (v >> 2 & 0x3333333333333333ul);
        sum += ((v + (v >> 4)) & 0x0f0f0f0f0f0f0f0ful) * 0x0101010101010101ul >> 56;
        sum += (u64)__builtin_ctzl(x) + (u64)__builtin_clzl(x);
        sum ^= __builtin_bswap64(x & -x) + (x & (x - 1));
        sum = sum << 1 | sum >> 63;
    }
    return sum;
}

u64 run_division(u64 n)
{
    u64 state = 5, sum = 0;
    for (u64 i = 0; i < n; i++) {
        u64 x = next_random(&state) << 11 | i, y = (next_random(&state) >> (i & 31)) | 1;
        sum += x / y ^ x % y;
    }
    return sum;
}

static const u32 sha_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline u32 right(u32 x, int bits)
{
    return x >> bits | x << (32 - bits);
}

/* SHA-256's compression function (FIPS 180-4, 6.2.2) on integer registers. */
static void sha256_block(u32 *state, const u8 *block)
{
    u32 w[64], h[8];
    for (int i = 0; i < 16; i++)
        w[i] = __builtin_bswap32(((const u32 *)block)[i]);
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (right(w[i - 15], 7) ^ right(w[i - 15], 18) ^ w[i - 15] >> 3) + (right(w[i - 2], 17) ^ right(w[i - 2], 19) ^ w[i - 2] >> 10);
    for (int i = 0; i < 8; i++)
        h[i] = state[i];
    for (int i = 0; i < 64; i++) {
        u32 one = h[7] + (right(h[4], 6) ^ right(h[4], 11) ^ right(h[4], 25)) + ((h[4] & h[5]) ^ (~h[4] & h[6])) + sha_constants[i] + w[i];
        u32 two = (right(h[0], 2) ^ right(h[0], 13) ^ right(h[0], 22)) + ((h[0] & h[1]) ^ (h[0] & h[2]) ^ (h[1] & h[2]));
        h[7] = h[6], h[6] = h[5], h[5] = h[4], h[4] = h[3] + one, h[3] = h[2], h[2] = h[1], h[1] = h[0], h[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        state[i] += h[i];
}

u64 run_sha256(u64 n)
{
    u32 state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    fill_text();
    while (n--)
        for (u64 i = 0; i < sizeof text; i += 64)
            sha256_block(state, text + i);
    return (u64)state[0] << 32 | state[7];
}
