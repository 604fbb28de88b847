/* Kernels whose time is loads and stores. */
#include "linux.h"

/* Half a megabyte, eight bytes a step, one plain load and store each. */
u64 run_copy(u64 n)
{
    enum { WORDS = 1 << 16 };
    static u64 from[WORDS], to[WORDS];
    for (u64 i = 0; i < WORDS; i++)
        from[i] = i * 0x9e3779b97f4a7c15ul;
    while (n--)
        for (u64 i = 0; i < WORDS; i++) {
            u64 word = from[i];
            asm volatile("" : "+r"(word));
            to[i] = word + n;
        }
    return mix(to[77], to[WORDS - 1]);
}

u64 run_rep_movs(u64 n)
{
    enum { BYTES = 1 << 16 };
    static u8 from[BYTES], to[BYTES];
    for (u64 i = 0; i < BYTES; i++)
        from[i] = (u8)(i * 7 >> 3);
    u64 sum = 0;
    while (n--) {
        const u8 *source = from;
        u8 *target = to;
        u64 count = BYTES;
        asm volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(count) :: "memory");
        from[n & 0xffff]++;
        sum += to[n * 31 & 0xffff];
    }
    return sum;
}

__attribute__((noinline)) static u64 length(const char *s)
{
    const char *at = s;
    while (*at) {
        at++;
        asm volatile("" : "+r"(at));
    }
    return (u64)(at - s);
}

u64 run_strlen(u64 n)
{
    static char strings[1 << 16];
    u64 state = 3, sum = 0;
    for (u64 i = 0; i < sizeof strings - 1; i++)
        strings[i] = (char)(next_random(&state) % 40 == 0 ? 0 : 'a');
    while (n--)
        for (const char *at = strings; at < strings + sizeof strings - 1;) {
            u64 one = length(at);
            sum = mix(sum, one);
            at += one + 1;
        }
    return sum;
}

struct node {
    struct node *next;
    u64 value;
};

/* A list of 64 Ki nodes in random order: each load waits for the one before. */
u64 run_chase(u64 n)
{
    enum { NODES = 1 << 16 };
    static struct node nodes[NODES];
    static u32 order[NODES];
    u64 state = 11, sum = 0;
    for (u32 i = 0; i < NODES; i++)
        order[i] = i;
    for (u32 i = NODES - 1; i > 0; i--) {
        u32 j = (u32)(next_random(&state) % (i + 1)), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (u32 i = 0; i < NODES; i++)
        nodes[order[i]] = (struct node) { &nodes[order[(i + 1) % NODES]], i };
    const struct node *at = nodes;
    while (n--) {
        sum = mix(sum, at->value);
        at = at->next;
    }
    return sum;
}

/* Independent reads and writes all over 8 MiB. */
u64 run_random(u64 n)
{
    enum { WORDS = 1 << 20 };
    static u64 *words;
    if (!words)
        words = map_pages(WORDS * 8);
    for (u64 i = 0; i < WORDS; i++)
        words[i] = i;
    u64 state = 17, sum = 0;
    for (u64 i = 0; i < n; i++) {
        u64 r = next_random(&state);
        sum += words[r & (WORDS - 1)];
        words[r >> 20 & (WORDS - 1)] += sum;
    }
    return sum;
}

typedef int comparison(const void *, const void *);

__attribute__((noinline)) static int ascending(const void *a, const void *b)
{
    u32 x = *(const u32 *)a, y = *(const u32 *)b;
    return (x > y) - (x < y);
}

/* Quicksort through a comparison function, as C libraries have it. */
static void sort(u32 *low, u32 *high, comparison *compare)
{
    while (high - low > 8) {
        u32 pivot = low[(high - low) >> 1], *i = low, *j = high - 1;
        for (;;) {
            while (compare(i, &pivot) < 0)
                i++;
            while (compare(&pivot, j) < 0)
                j--;
            if (i >= j)
                break;
            u32 swap = *i;
            *i++ = *j;
            *j-- = swap;
        }
        if (j + 1 - low < high - (j + 1)) {
            sort(low, j + 1, compare);
            low = j + 1;
        } else {
            sort(j + 1, high, compare);
            high = j + 1;
        }
    }
    for (u32 *i = low + 1; i < high; i++)
        for (u32 *j = i; j > low && compare(j, j - 1) < 0; j--) {
            u32 swap = *j;
            *j = j[-1];
            j[-1] = swap;
        }
}

u64 run_qsort(u64 n)
{
    enum { COUNT = 20000 };
    static u32 values[COUNT];
    comparison *volatile compare = ascending;
    u64 state = 23, sum = 0;
    while (n--) {
        for (u32 i = 0; i < COUNT; i++)
            values[i] = (u32)next_random(&state);
        sort(values, values + COUNT, compare);
        for (u32 i = 1; i < COUNT; i++)
            sum += values[i - 1] > values[i] ? 1ul << 60 : 0;
        sum = mix(sum, values[COUNT / 2]);
    }
    return sum;
}
