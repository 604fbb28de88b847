/* Kernels of matrices, floating point and vectors. */
#include <immintrin.h>
#include "linux.h"

enum { SIDE = 96 };

u64 run_matrix_int(u64 n)
{
    static i64 a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
    u64 sum = 0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
            a[i][j] = i * 3 + j, b[i][j] = i - j * 7;
    while (n--) {
        for (int i = 0; i < SIDE; i++)
            for (int j = 0; j < SIDE; j++) {
                i64 cell = 0;
                for (int k = 0; k < SIDE; k++)
                    cell += a[i][k] * b[k][j];
                c[i][j] = cell;
            }
        a[n % SIDE][5]++;
        sum = mix(sum, (u64)c[n % SIDE][(n * 7) % SIDE]);
    }
    return sum;
}

static inline u64 bits_of(double value)
{
    union {
        double number;
        u64 bits;
    } both = { value };
    return both.bits;
}

u64 run_matrix_double(u64 n)
{
    static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
    u64 sum = 0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
            a[i][j] = 1.0 / (i + j + 1), b[i][j] = i - j * 0.5;
    while (n--) {
        for (int i = 0; i < SIDE; i++)
            for (int j = 0; j < SIDE; j++) {
                double cell = 0;
                for (int k = 0; k < SIDE; k++)
                    cell += a[i][k] * b[k][j];
                c[i][j] = cell;
            }
        a[n % SIDE][5] += 0.25;
        sum = mix(sum, bits_of(c[n % SIDE][(n * 7) % SIDE]));
    }
    return sum;
}

/* Scalar doubles, with a comparison for every step. */
u64 run_mandelbrot(u64 n)
{
    u64 steps = 0;
    while (n--)
        for (int row = 0; row < 64; row++)
            for (int column = 0; column < 64; column++) {
                double cr = column / 24.0 - 2.0, ci = row / 28.0 - 1.14, x = 0, y = 0;
                int i = 0;
                for (; i < 200 && x * x + y * y < 4.0; i++) {
                    double next = x * x - y * y + cr;
                    y = 2 * x * y + ci;
                    x = next;
                }
                steps += (u64)i;
            }
    return steps;
}

static float xs[4096] __attribute__((aligned(32))), ys[4096] __attribute__((aligned(32)));

static void fill_floats(void)
{
    for (int i = 0; i < 4096; i++)
        xs[i] = (float)(i % 17) * 0.25f, ys[i] = (float)(i % 13) * 0.5f;
}

u64 run_saxpy(u64 n)
{
    fill_floats();
    u64 sum = 0;
    while (n--) {
        __m128 factor = _mm_set1_ps(n & 1 ? 0.5f : -0.5f);
        for (int i = 0; i < 4096; i += 4)
            _mm_store_ps(ys + i, _mm_add_ps(_mm_mul_ps(factor, _mm_load_ps(xs + i)), _mm_load_ps(ys + i)));
        sum = mix(sum, bits_of(ys[n & 4095]));
    }
    return sum;
}

__attribute__((target("avx2"))) u64 run_dot_avx2(u64 n)
{
    fill_floats();
    u64 sum = 0;
    while (n--) {
        __m256 total = _mm256_setzero_ps();
        __m256i count = _mm256_setzero_si256();
        for (int i = 0; i < 4096; i += 8) {
            __m256 product = _mm256_mul_ps(_mm256_load_ps(xs + i), _mm256_load_ps(ys + i));
            total = _mm256_add_ps(total, product);
            count = _mm256_add_epi32(count, _mm256_cvttps_epi32(product));
        }
        float lanes[8];
        u32 counts[8];
        _mm256_storeu_ps(lanes, total);
        _mm256_storeu_si256((__m256i *)counts, count);
        xs[n & 4095] += 0.25f;
        sum = mix(sum, bits_of(lanes[n & 7]) + counts[n & 7]);
    }
    _mm256_zeroupper();
    return sum;
}
